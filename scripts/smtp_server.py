#!/usr/bin/env python3
"""The demo's mail server: a real SMTP server on a loopback port that writes each mail into a folder.

It takes every mail for everybody and passes none on. It ends on SIGTERM, and by itself once the process that
started it is gone.
"""

import argparse
import asyncio
import os
import re
import signal
from pathlib import Path

from aiosmtpd.smtp import SMTP


class Folder:
    """Writes mails as NUMBER-RECIPIENT.eml, in the order in which they came."""

    def __init__(self, path):
        self.path = path
        self.count = 0

    async def handle_DATA(self, server, session, envelope):
        self.count += 1
        recipient = re.sub(r"[^A-Za-z0-9@._-]", "_", envelope.rcpt_tos[0])
        name = f"{self.count:03}-{recipient}.eml"
        (self.path / name).write_bytes(envelope.original_content)
        return "250 OK"


async def serve(folder, port, port_file):
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(lambda: SMTP(folder, hostname="localhost"), host="127.0.0.1", port=port)
    if port_file is not None:
        # Moved into place, so that whoever waits for the file never reads half a number.
        part = port_file.with_suffix(".part")
        part.write_text(f"{server.sockets[0].getsockname()[1]}\n")
        part.rename(port_file)
    parent = os.getppid()
    while not stop.is_set() and os.getppid() == parent:
        try:
            await asyncio.wait_for(stop.wait(), timeout=1)
        except asyncio.TimeoutError:
            pass
    server.close()


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--mails", type=Path, required=True, help="folder for the mails; made if absent")
    arguments.add_argument("--port", type=int, default=0, help="port to listen at; any free one without it")
    arguments.add_argument("--port-file", type=Path, help="file to which the port is written")
    given = arguments.parse_args()
    given.mails.mkdir(parents=True, exist_ok=True)
    asyncio.run(serve(Folder(given.mails), given.port, given.port_file))


if __name__ == "__main__":
    main()
