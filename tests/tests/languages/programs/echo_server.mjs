// Echoes each frame: four bytes of length, big-endian, and the payload. Prints its port.

import net from "node:net";

// No frame is longer: a stray `GET ` would be one of a gigabyte.
const MAX_FRAME = 1 << 20;

function echo(socket) {
  let buffer = Buffer.alloc(0);
  socket.on("data", (chunk) => {
    buffer = Buffer.concat([buffer, chunk]);
    while (buffer.length >= 4) {
      const length = buffer.readUInt32BE();
      if (length > MAX_FRAME) return socket.destroy(new Error(`a frame of ${length} bytes`));
      if (buffer.length < 4 + length) return;
      // While the peer does not read, nothing more is read from it.
      if (!socket.write(buffer.subarray(0, 4 + length))) socket.pause();
      buffer = buffer.subarray(4 + length);
    }
  });
  socket.on("drain", () => socket.resume());
  socket.on("error", (error) => console.error(error.message));
}

const server = net.createServer({ noDelay: true }, echo);
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
