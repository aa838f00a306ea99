"""Pages served by processes of their own: started, waited for, and ended together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Never
from urllib.error import HTTPError
from urllib.request import urlopen

from dss_ray.errors import StoreError, UsageError

PATIENCE = 300.0  # seconds until a server that does not answer is given up
PAUSE = 0.2  # seconds between two looks
GRACE = 10.0  # seconds to end by itself


@dataclass(frozen=True)
class Server:
    """A process that serves pages.

    Args:
        name: what messages call it.
        command: that starts it; it is public, so that it may hold no password.
        host: where it listens.
        port: likewise.
        environment: what it finds beside this process's own, passwords included.
    """

    name: str
    command: Sequence[str]
    host: str
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Where a browser on this machine finds it."""
        return f"http://{'127.0.0.1' if self.host == '0.0.0.0' else self.host}:{self.port}"


@contextmanager
def serving(servers: Sequence[Server]) -> Iterator[Running]:
    """Start servers, and go on once all of them answer; end them all in the end.

    Raises:
        StoreError: if one ends before it answers.
    """
    running = Running()
    try:
        for server in servers:
            running.start(server)
        running.await_answers()
        yield running
    finally:
        running.end()


def check_port(server: Server) -> None:
    """Raise UsageError if something listens there, or the address is none of this machine's."""
    host, port = server.host, server.port
    try:
        family, kind, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"port {port} of {host} cannot be used ({reason}); choose another --port or --host"
        ) from None


class Running:
    """Servers that run."""

    def __init__(self) -> None:
        self.known = list[tuple[Server, subprocess.Popen[bytes], IO[bytes]]]()

    def start(self, server: Server) -> None:
        """Start a server, in a session of its own: its helpers end with it, and Ctrl-C is ours."""
        output = tempfile.TemporaryFile()  # noqa: SIM115 - closed when it ends
        process = subprocess.Popen(
            server.command,
            env=os.environ | server.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        self.known.append((server, process, output))

    def await_answers(self) -> None:
        """Until all servers answer."""
        deadline = time.monotonic() + PATIENCE
        while not all(answers(server.address) for server, *_ in self.known):
            self.check()
            if time.monotonic() > deadline:
                raise StoreError(f"the servers do not answer after {PATIENCE:g} s; try again")
            time.sleep(PAUSE)

    def watch(self) -> Never:
        """Until an interrupt.

        Raises:
            StoreError: if one of them ends by itself.
        """
        while True:
            self.check()
            time.sleep(PAUSE)

    def check(self) -> None:
        """Raise StoreError if a server has ended, with the last that it said."""
        for server, process, output in self.known:
            if process.poll() is not None:
                output.seek(0)
                lines = output.read().decode(errors="replace").split("\n")
                said = next((line for line in reversed(lines) if line.strip()), "nothing")
                raise StoreError(f"{server.name} ended with code {process.returncode}: {said}")

    def end(self) -> None:
        """End all servers and their helpers."""
        self.send(signal.SIGTERM)
        for _, process, output in self.known:
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            output.close()
        self.send(signal.SIGKILL)  # whoever is left
        for _, process, _ in self.known:
            process.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all that is left of the servers."""
        for _, process, _ in self.known:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)


def answers(address: str) -> bool:
    """Whether a server says something, be it an error."""
    try:
        with urlopen(address, timeout=5):
            return True
    except HTTPError:
        return True
    except OSError:
        return False
