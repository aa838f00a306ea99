"""The teacher: a guided model's converged trajectories, solved once and cached for all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from dss_ray.models.cache import Entry, cached
from dss_ray.models.guidance import GuidedModel
from dss_ray.models.meter import Meter
from dss_ray.models.noise import start_states
from dss_ray.solver.reference import (
    SOLVER,
    Reference,
    converged_steps,
    reference_table,
    require_finite,
    solve_reference,
)
from dss_ray.solver.sampling import sample
from dss_ray.solver.table import SolverTable

PROBE = 32  # samples that the step count is found with
BATCH = 256  # samples solved at once
TOLERANCE = 5e-4  # relative error of the end states, far below a student's


@dataclass(frozen=True)
class Teacher:
    """Reference trajectories of ``model`` on the noises of a domain and a seed.

    Args:
        model: the guided model.
        domain: "search", "selection" or "evaluation".
        seed: of the noises in that domain.
        span: first and last knot; the model's time range where None.
    """

    model: GuidedModel
    domain: str
    seed: int
    span: tuple[float, float] | None = None

    @property
    def ends_at(self) -> tuple[float, float]:
        """The first and the last knot."""
        return self.span or (self.model.t_min, self.model.t_max)

    def noise(self, first: int, count: int) -> tuple[Tensor, Tensor | None]:
        """Start states (count, *sample_shape) and labels of ``count`` samples from ``first`` on."""
        samples = range(first, first + count)
        return start_states(self.model, self.ends_at[0], self.domain, self.seed, samples)

    def key(self, kind: str, **more: object) -> dict[str, object]:
        """What a cache entry of this teacher is known by."""
        return {
            "kind": kind,
            "shape": self.model.sample_shape,
            "model": self.model.fingerprint,
            "span": self.ends_at,
            "domain": self.domain,
            "seed": self.seed,
            "solver": SOLVER,
            "tolerance": TOLERANCE,
            "torch": torch.__version__,
        } | more

    @property
    def velocity(self) -> Meter:
        """The model, metered."""
        return Meter(self.model, self.model.evaluations_per_query)

    @cached_property
    def convergence(self) -> Entry:
        """Tensors ``steps`` and ``error`` of the trajectories, and what finding them took."""

        def build() -> dict[str, Tensor]:
            noise, label = self.noise(0, PROBE)
            steps, error, spent = converged_steps(
                self.velocity, noise, label, *self.ends_at, tolerance=TOLERANCE
            )
            return {
                "steps": torch.tensor(steps),
                "error": torch.tensor(error),
                "spent": torch.tensor(spent),
            }

        return cached(self.key("convergence", samples=PROBE), build)

    @property
    def table(self) -> SolverTable:
        """The solver of the trajectories."""
        return reference_table(int(self.convergence.tensors["steps"]), *self.ends_at)

    @property
    def error(self) -> float:
        """Root mean square error of the end states relative to their size, an upper estimate."""
        return float(self.convergence.tensors["error"])

    def reference(self, count: int) -> tuple[Reference, float, int]:
        """Dense trajectories of the first ``count`` samples.

        Returns:
            The reference, the wall seconds and the network evaluations of making it, once.
        """
        table = self.table

        def build() -> dict[str, Tensor]:
            parts = [
                solve_reference(self.velocity, *self.noise(first, min(BATCH, count - first)), table)
                for first in range(0, count, BATCH)
            ]
            return {
                "states": torch.cat([part.states for part in parts], 1),
                "velocities": torch.cat([part.velocities for part in parts], 1),
            }

        entry = cached(self.key("dense", samples=count, steps=table.nfe), build)
        noise, label = self.noise(0, count)
        states, velocities = (entry.tensors[name].to(noise) for name in ("states", "velocities"))
        reference = Reference(table.knots, states, velocities, label)
        seconds = entry.seconds + self.convergence.seconds
        return reference, seconds, self.evaluations(count, table.nfe + 1)

    def ends(self, first: int, count: int) -> Tensor:
        """The end states (count, *sample_shape) of samples ``first .. first + count - 1``."""
        table = self.table

        @torch.no_grad()
        def build() -> dict[str, Tensor]:
            noise, label = self.noise(first, count)
            end = sample(self.velocity, table, noise, label)
            require_finite("the reference trajectory", end)
            return {"end": end}

        key = self.key("ends", first=first, samples=count, steps=table.nfe)
        return cached(key, build).tensors["end"].to(self.model.device)

    def evaluations(self, count: int, queries: int) -> int:
        """Network evaluations of ``queries`` a sample, the search for the step count included."""
        spent = PROBE * int(self.convergence.tensors["spent"])
        return self.model.evaluations_per_query * (count * queries + spent)
