"""A TCP proxy that cuts connections after a number of bytes of answers: real resets, at any byte of a frame.

Usage: scissors.py SERVER READY_FILE COUNT_FILE CUTS. Writes its own address to READY_FILE, and to COUNT_FILE how many
connections it has cut. After CUTS of them it lets everything through.
"""

import asyncio
import contextlib
import pathlib
import random
import socket
import struct
import sys

# The first connection has to carry the client's first call; all later ones may break at once.
FIRST_AT_LEAST_BYTES = 1_500
AT_MOST_BYTES = 2_000


class Scissors:
    def __init__(self, server: str, count_file: pathlib.Path, cuts: int) -> None:
        self.host, self.port = server.rsplit(":", 1)
        self.count_file = count_file
        self.left = cuts
        self.done = 0
        self.first = True
        # The same cuts in every run.
        self.numbers = random.Random(20_26)

    async def carry(self, client_reader, client_writer) -> None:
        allowed = None
        if self.left > 0:
            allowed = self.numbers.randrange(AT_MOST_BYTES) + (FIRST_AT_LEAST_BYTES if self.first else 0)
        self.first = False
        try:
            server_reader, server_writer = await asyncio.open_connection(self.host, self.port)
        except OSError:
            client_writer.close()
            return
        requests = asyncio.ensure_future(self.pump(client_reader, server_writer, None))
        cut = await self.pump(server_reader, client_writer, allowed)
        requests.cancel()
        if cut:
            self.left -= 1
            self.done += 1
            self.count_file.write_text(str(self.done))
            # A reset instead of an orderly end.
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
    server, ready_file, count_file, cuts = sys.argv[1:]
    pathlib.Path(count_file).write_text("0")
    scissors = Scissors(server, pathlib.Path(count_file), int(cuts))
    listener = await asyncio.start_server(scissors.carry, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()[:2]
    pathlib.Path(ready_file).write_text(f"{host}:{port}")
    await listener.serve_forever()


asyncio.run(main())
