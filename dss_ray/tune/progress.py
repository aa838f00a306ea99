"""The live table of a sweep: what is done, what runs, the best per NFE, the time left."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from dss_ray.models.spec import short
from dss_ray.records.leaderboard import best_of_each
from dss_ray.records.rows import Row, distance_name

FEW_TO_GO_BY = 3  # the first pieces also solve the references that all share
LINE_EVERY = 15.0  # seconds between two lines where the output is no terminal


class Progress:
    """Shows a sweep while it runs, on standard error.

    Args:
        title: the sweep's name.
        rows: gives the rows so far.
    """

    def __init__(self, title: str, rows: Callable[[], list[Row]]) -> None:
        self.title, self.rows = title, rows
        self.phase, self.done, self.total, self.failed = "starting", 0, 0, 0
        self.running: Callable[[], int] = int
        self.spent: Callable[[], float] = float
        self.spent_before = 0.0
        self.began = self.phase_began = self.told = time.monotonic()
        self.console = Console(stderr=True)
        self.live = Live(console=self.console, refresh_per_second=2, get_renderable=self.render)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.console.is_terminal:
            self.live.stop()

    def start(
        self,
        phase: str,
        total: int,
        running: Callable[[], int] = int,
        spent: Callable[[], float] = float,
    ) -> None:
        """A new phase begins.

        Args:
            phase: its name.
            total: pieces of work, if no budget ends it before.
            running: says how many pieces are being worked on.
            spent: says what share of a budget is used up.
        """
        self.phase, self.done, self.total, self.running = phase, 0, total, running
        self.spent, self.spent_before, self.phase_began = spent, spent(), time.monotonic()
        self.tell(at_once=True)

    def ended_one(self, failed: bool = False) -> None:
        """One piece is done."""
        self.done += 1
        self.failed += failed
        self.tell()

    def tell(self, at_once: bool = False) -> None:
        """Print the status as a line now and then where there is no terminal for a live table."""
        if not self.console.is_terminal and (at_once or time.monotonic() - self.told > LINE_EVERY):
            self.told = time.monotonic()
            self.console.print(self.status(), soft_wrap=True)

    def status(self) -> str:
        """One line: phase, counts and times."""
        left, running = self.left(), self.running()
        parts = [
            f"{self.title}: {self.phase} {self.done}/{self.total}",
            f"{running} running" if running else "",
            f"{self.failed} failed" if self.failed else "",
            f"{clock(time.monotonic() - self.began)} passed",
            "" if left is None else f"{clock(left)} left in this phase",
        ]
        return ", ".join(part for part in parts if part)

    def left(self) -> float | None:
        """Seconds until all pieces are done or a budget is spent; None before it can be told."""
        if self.done < FEW_TO_GO_BY:
            return None
        passed, spent = time.monotonic() - self.phase_began, self.spent()
        left = passed / self.done * (self.total - self.done)
        if spent > self.spent_before:
            left = min(left, passed / (spent - self.spent_before) * max(0.0, 1 - spent))
        return left

    def render(self) -> Group:
        """The live picture: the best per model, NFE and kind over the status line."""
        table = Table(box=None, pad_edge=False)
        for head in ("model", "NFE", "kind", "solver", "guidance", "distance", "rmse"):
            table.add_column(
                head, justify="right" if head in ("NFE", "guidance", "rmse") else "left"
            )
        done = [row for row in self.rows() if row.status == "done"]
        for model in sorted({row.model for row in done}):
            for row in best_of_each([row for row in done if row.model == model]):
                figures = f"{distance_name(row.features)} {row.fid:.3f}", f"{row.rmse:.4f}"
                style = "bold" if row.searched else "dim"
                name = f"{row.solver} on {row.grid}" if row.grid else row.solver
                cells = [
                    short(row.model),
                    str(row.nfe),
                    row.kind,
                    name,
                    f"{row.guidance:g}",
                    *figures,
                ]
                table.add_row(*cells, style=style)
        return Group(table, Text(self.status()))


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
