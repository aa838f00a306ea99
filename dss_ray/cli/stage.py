"""Progress on standard error: what is done, how long it has taken and how much time is left."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Step = Callable[[int, int], None]
WORTH_TELLING = 2.0  # seconds from which a stage leaves a line where no bar can move


@contextmanager
def stage(text: str) -> Iterator[Step]:
    """Show that ``text`` is going on; call what it yields with (steps done, steps in all).

    A moving bar on a terminal; elsewhere one line at the end of a stage that took a while.
    """
    from rich.console import Console  # here: 0.05 s that --help can do without

    console, began = Console(stderr=True), time.monotonic()
    if not console.is_terminal:
        yield lambda *_: None
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
        yield lambda done, total: progress.update(task, completed=done, total=total)
