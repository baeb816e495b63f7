// Sends frames of the given sizes and checks that each comes back:
//
//   node client.mjs 7007 0 5 25600 1048576

import { randomBytes } from "node:crypto";
import net from "node:net";

// The replies in a stream of chunks. The top bit marks an ERROR, which says why the server ends the
// connection.
async function* replies(chunks) {
  let buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    buffer = Buffer.concat([buffer, chunk]);
    while (buffer.length >= 4) {
      const head = buffer.readUInt32BE();
      const end = 4 + (head & 0x7fffffff);
      if (buffer.length < end) break;
      if (head >>> 31) throw new Error(buffer.toString("utf8", 16, end));
      yield buffer.subarray(4, end);
      buffer = buffer.subarray(end);
    }
  }
}

const [port, ...sizes] = process.argv.slice(2).map(Number);
const payloads = sizes.map((size) => randomBytes(size));
const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
// All are in flight at once: what the server does not take yet, the socket keeps.
for (const payload of payloads) {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(payload.length);
  socket.write(Buffer.concat([head, payload]));
}
socket.end();

let count = 0;
for await (const reply of replies(socket)) {
  if (!payloads[count]?.equals(reply)) throw new Error("something else came back");
  count += 1;
}
if (count < payloads.length) throw new Error("less came back than was sent");
console.log(`${count} frames came back`);
