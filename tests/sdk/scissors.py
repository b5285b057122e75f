"""A TCP proxy that cuts connections after a number of bytes of answers, at any byte of a frame.

Usage: scissors.py SERVER READY_FILE COUNT_FILE. Writes its own address to READY_FILE, and to COUNT_FILE how many
connections it has cut.
"""

import asyncio
import contextlib
import pathlib
import socket
import struct
import sys

# How many bytes of answers each connection may carry, in the order they are made; all later ones are whole. The first
# has to carry the client's first call. In between a connection ends inside its first frame, inside the headers, and
# inside a frame with many events, of which most clients then deliver none.
ALLOWED_BYTES = (1_700, 60, 2_500, 9, 300, 3_500, 700, 2_500)


class Scissors:
    def __init__(self, server: str, count_file: pathlib.Path) -> None:
        self.host, self.port = server.rsplit(":", 1)
        self.count_file = count_file
        self.allowed = iter(ALLOWED_BYTES)
        self.done = 0

    async def carry(self, client_reader, client_writer) -> None:
        allowed = next(self.allowed, None)
        try:
            server_reader, server_writer = await asyncio.open_connection(self.host, self.port)
        except OSError:
            client_writer.close()
            return
        requests = asyncio.ensure_future(self.pump(client_reader, server_writer, None))
        cut = await self.pump(server_reader, client_writer, allowed)
        requests.cancel()
        if cut:
            self.done += 1
            self.count_file.write_text(str(self.done))
            # By turns an orderly end, and a reset, at which a kernel also drops what it has received.
            if self.done % 2 == 0:
                client_writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
        for writer in (client_writer, server_writer):
            writer.close()

    async def pump(self, reader, writer, allowed) -> bool:
        """Carries bytes until an end, or until so many were carried: then it is a cut."""
        with contextlib.suppress(OSError):
            while data := await reader.read(4096):
                if allowed is not None:
                    data = data[:allowed]
                    allowed -= len(data)
                writer.write(data)
                await writer.drain()
                if allowed == 0:
                    return True
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()
        return False


async def main() -> None:
    server, ready_file, count_file = sys.argv[1:]
    pathlib.Path(count_file).write_text("0")
    scissors = Scissors(server, pathlib.Path(count_file))
    listener = await asyncio.start_server(scissors.carry, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()[:2]
    pathlib.Path(ready_file).write_text(f"{host}:{port}")
    await listener.serve_forever()


asyncio.run(main())
