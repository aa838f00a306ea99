"""Interrupts that wait: no Ctrl-C in the midst of a commit."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def shielded() -> Iterator[None]:
    """Let an interrupt wait until the block is done, and then take its course.

    An exception inside a database's commit would leave it unknown what was written.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals reach the main thread alone
        return
    waiting = list[int]()
    before = signal.signal(signal.SIGINT, lambda number, _: waiting.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if waiting and callable(before):
        before(signal.SIGINT, None)


def ignore_interrupts() -> None:
    """Ignore further interrupts: the books take a few seconds to close."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
