"""A server that sends what it has byte by byte, as slowly as it is told to; and how it was left."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"


@dataclass
class Trickle:
    """What is sent to every client: the start at once, then the rest byte by byte, `pause_s` apart."""

    start: bytes = HEAD
    rest: bytes = bytes(100_000)
    pause_s: float = 0.1
    url: str = ""
    asked: threading.Event = field(default_factory=threading.Event)
    """Set when a client has asked for something."""
    left: threading.Event = field(default_factory=threading.Event)
    """Set when a client has closed its connection before the end."""

    def send(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            client.recv(65536)
            self.asked.set()
            client.sendall(self.start)
            try:
                for i in range(len(self.rest)):
                    client.sendall(self.rest[i : i + 1])
                    time.sleep(self.pause_s)
            except OSError:
                self.left.set()


@contextmanager
def open_trickle(trickle: Trickle) -> Iterator[Trickle]:
    """Serve it on a local port meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        trickle.url = f"http://127.0.0.1:{server.getsockname()[1]}/voice.npz"

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=trickle.send, args=(server.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield trickle
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
