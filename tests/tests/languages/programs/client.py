"""Sends frames of the given sizes and checks that each comes back:

    python3 client.py 7007 0 5 25600 1048576
"""

import asyncio
import os
import struct
import sys


async def send(writer, payloads):
    try:
        for payload in payloads:
            writer.write(struct.pack(">I", len(payload)) + payload)
            await writer.drain()
        writer.write_eof()
    except OSError:
        pass  # The replies say why.


async def receive(reader):
    """The next reply. The top bit marks an ERROR, which says why the server ends the connection."""
    (head,) = struct.unpack(">I", await reader.readexactly(4))
    body = await reader.readexactly(head & 0x7FFF_FFFF)
    if head >> 31:
        sys.exit(body[12:].decode())
    return body


async def main(port, *sizes):
    payloads = [os.urandom(size) for size in sizes]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    # All are in flight at once. A task of its own sends them, because a server whose replies nobody
    # reads takes no more frames.
    sending = asyncio.create_task(send(writer, payloads))
    for payload in payloads:
        if await receive(reader) != payload:
            sys.exit("something else came back")
    await sending
    if await reader.read():
        sys.exit("more came back than was sent")
    writer.close()
    print(len(payloads), "frames came back")


asyncio.run(main(*map(int, sys.argv[1:])))
