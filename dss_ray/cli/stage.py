"""Progress on standard error: what is done, how long it has taken and how much time is left."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Step = Callable[[int, int], None]
WORTH_TELLING = 2.0  # seconds from which a stage leaves a line where no bar can move
LINE_EVERY = 15.0  # seconds between two lines there


@contextmanager
def stage(text: str, unit: str = "") -> Iterator[Step]:
    """Show that ``text`` is going on; call what it yields with (steps done, steps in all).

    A moving bar on a terminal; elsewhere a line now and then, and one at the end of a stage that
    took a while. Steps that have a ``unit``, such as "samples", are shown with their rate.
    """
    from rich.console import Console  # here: 0.05 s that --help can do without

    console, began = Console(stderr=True), time.monotonic()
    if not console.is_terminal:
        yield Lines(text, unit).step
        passed = time.monotonic() - began
        if passed > WORTH_TELLING:
            sys.stderr.write(f"{text}: {passed:.1f} s\n")
        return
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(24)
    times = TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn()
    with Progress(*columns, *times, console=console, transient=True) as progress:
        task = progress.add_task(text, total=None)

        def step(done: int, total: int) -> None:
            rate = f", {done / (time.monotonic() - began):,.0f} {unit}/s" if unit else ""
            progress.update(task, completed=done, total=total, description=text + rate)

        yield step


class Lines:
    """The progress of a stage where no bar can move."""

    def __init__(self, text: str, unit: str) -> None:
        self.text, self.unit = text, unit
        self.began = self.told = time.monotonic()

    def step(self, done: int, total: int) -> None:
        """A line, unless the last one was a moment ago."""
        now = time.monotonic()
        if now - self.told < LINE_EVERY or not 0 < done < total:
            return
        self.told, rate = now, done / (now - self.began)
        seconds = int((total - done) / rate)
        speed = f" {self.unit}, {rate:,.0f} {self.unit}/s" if self.unit else ""
        left = f"{seconds // 60}:{seconds % 60:02d} left"
        sys.stderr.write(f"{self.text}: {done:,} of {total:,}{speed}, {left}\n")
