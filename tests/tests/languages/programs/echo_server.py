"""Echoes each frame: four bytes of length, big-endian, and the payload. Prints its port."""

import asyncio
import struct

# No frame is longer: a stray `GET ` would be one of a gigabyte.
MAX_FRAME = 1 << 20


async def echo(reader, writer):
    try:
        while True:
            head = await reader.readexactly(4)
            (length,) = struct.unpack(">I", head)
            if length > MAX_FRAME:
                break
            writer.write(head + await reader.readexactly(length))
            # While the peer does not read, nothing more is read from it.
            await writer.drain()
    except asyncio.IncompleteReadError:
        pass  # The peer has no more frames.
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
