"""The teacher: a guided model's converged trajectories, solved once and cached for all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from dss_ray.models.cache import Entry, cached
from dss_ray.models.guidance import GuidedModel
from dss_ray.models.meter import Meter
from dss_ray.models.noise import start_states
from dss_ray.solver.convergence import TOLERANCE, Convergence, converged_steps
from dss_ray.solver.reference import (
    SOLVER,
    Knots,
    Reference,
    reference_table,
    require_finite,
    solve_reference,
)
from dss_ray.solver.sampling import sample

BLOCK = 32  # samples of a cache entry; the first block also tells how many steps are enough
BATCH = 256  # samples solved at once

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Teacher:
    """Reference trajectories of ``model`` on the noises of a domain and a seed.

    Args:
        model: the guided model.
        domain: "search", "selection" or "evaluation".
        seed: of the noises in that domain.
        span: first and last knot; the model's time range where None.
        tolerance: relative error of the end states that is allowed; see ``converged_steps``.
        fewest: the least number of steps, at most 640.
    """

    model: GuidedModel
    domain: str
    seed: int
    span: tuple[float, float] | None = None
    tolerance: float = TOLERANCE
    fewest: int = 0

    def refined(self, tolerance: float, fewest: int = 0) -> Teacher:
        """A teacher at least as fine as this one; it shares all that either has solved."""
        return replace(
            self, tolerance=min(self.tolerance, tolerance), fewest=max(self.fewest, fewest)
        )

    @property
    def ends_at(self) -> tuple[float, float]:
        """The first and the last knot."""
        return self.span or (self.model.t_min, self.model.t_max)

    def noise(self, first: int, count: int) -> tuple[Tensor, Tensor | None]:
        """Start states (count, *sample_shape) and labels of ``count`` samples from ``first`` on."""
        samples = range(first, first + count)
        return start_states(self.model, self.ends_at[0], self.domain, self.seed, samples)

    def key(self, kind: str, **more: object) -> dict[str, object]:
        """What a cache entry of this teacher is known by; its steps stand for its tolerance."""
        return {
            "kind": kind,
            "shape": self.model.sample_shape,
            "classes": self.model.num_classes,
            "model": self.model.fingerprint,
            "span": self.ends_at,
            "domain": self.domain,
            "seed": self.seed,
            "solver": SOLVER,
            "torch": torch.__version__,
        } | more

    @property
    def velocity(self) -> Meter:
        """The model, metered."""
        return Meter(self.model, self.model.evaluations_per_query)

    def block(self, index: int, steps: int) -> Entry:
        """A block of samples: ``times`` (steps + 1,), ``states`` and ``velocities``, ``label``.

        The trajectories are (steps + 1, BLOCK, *sample_shape); an unconditional model has no label.
        """

        def build() -> dict[str, Tensor]:
            noise, label = self.noise(index * BLOCK, BLOCK)
            solved = solve_reference(
                self.velocity, noise, label, reference_table(steps, *self.ends_at)
            )
            (states,), (velocities,) = solved.states.blocks, solved.velocities.blocks
            tensors = {"times": solved.times, "states": states, "velocities": velocities}
            return tensors if label is None else tensors | {"label": label}

        return cached(self.key("block", first=index * BLOCK, samples=BLOCK, steps=steps), build)

    @cached_property
    def convergence(self) -> Convergence:
        """The step count, found on the first block."""

        def end(steps: int) -> Tensor:
            return self.block(0, steps).tensors["states"][-1]

        return converged_steps(end, self.tolerance, self.fewest)

    @property
    def steps(self) -> int:
        """The number of steps of the trajectories."""
        return self.convergence.steps

    @property
    def error(self) -> float:
        """Root mean square error of the end states relative to their size, an upper estimate."""
        return self.convergence.error

    def reference(
        self, count: int, progress: Progress | None = None
    ) -> tuple[Reference, float, int]:
        """Dense trajectories of the first ``count`` samples, from blocks that all counts share.

        Args:
            count: number of samples.
            progress: called with the samples that are there and ``count``, block by block.

        Returns:
            The reference, the wall seconds and the network evaluations of making its blocks, once,
            and of finding the step count.

        Raises:
            DivergedError: if NaN or infinity appears.
            ConvergenceError: if the velocity is not smooth enough.
            UsageError: if ``fewest`` is above 640.
        """
        entries = self.blocks(count, progress)
        seconds = sum(entry.seconds for entry in entries.values())
        return self.joined(entries, count), seconds, self.evaluations(entries)

    def joined(self, entries: dict[tuple[int, int], Entry], count: int) -> Reference:
        """The trajectories of the first ``count`` samples, from what ``blocks`` gave for them."""
        device = self.model.device
        blocks = [entries[index, self.steps].tensors for index in range(-(-count // BLOCK))]
        states, velocities = (
            Knots(tuple(block[name] for block in blocks), device).samples(0, count)
            for name in ("states", "velocities")
        )
        label = None
        if "label" in blocks[0]:
            label = torch.cat([block["label"] for block in blocks])[:count].to(device)
        return Reference(blocks[0]["times"], states, velocities, label)

    def blocks(self, count: int, progress: Progress | None = None) -> dict[tuple[int, int], Entry]:
        """All that the first ``count`` samples take, by (index, steps); see ``reference``.

        The blocks that told the step count are among them.
        """
        entries = {(0, steps): self.block(0, steps) for steps in self.convergence.tried}
        for index in range(-(-count // BLOCK)):
            entries[index, self.steps] = self.block(index, self.steps)
            if progress:
                progress(min((index + 1) * BLOCK, count), count)
        return entries

    def evaluations(self, blocks: Iterable[tuple[int, int]]) -> int:
        """The network evaluations of blocks, each given as (index, steps)."""
        queries = BLOCK * sum(steps + 1 for _, steps in blocks)
        return self.model.evaluations_per_query * queries

    def ends(self, first: int, count: int) -> Tensor:
        """The end states (count, *sample_shape) of samples ``first .. first + count - 1``."""

        @torch.no_grad()
        def build() -> dict[str, Tensor]:
            table, last = reference_table(self.steps, *self.ends_at), first + count
            ends = [
                sample(self.velocity, table, *self.noise(start, min(BATCH, last - start)))
                for start in range(first, last, BATCH)
            ]
            require_finite("the reference trajectory", *ends)
            return {"end": torch.cat(ends)}

        key = self.key("ends", first=first, samples=count, steps=self.steps)
        return cached(key, build).tensors["end"].to(self.model.device)
