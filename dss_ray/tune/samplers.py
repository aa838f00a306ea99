"""How the next trial is chosen: Optuna's samplers by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from dss_ray.config.sweep import Objective

if TYPE_CHECKING:  # Optuna takes a second to import
    from optuna.samplers import BaseSampler

GRID = "grid"  # all points of a finite space in order; the study lists them itself
SAMPLERS = ("tpe", "nsga2", "gp", "random", GRID)


@dataclass(frozen=True)
class Chooser:
    """Makes a sampler for each trial.

    A proposal depends on the seed, the trial's number and the trials on record alone, so that a
    resumed study proposes what an undisturbed one would have.

    Args:
        name: of ``SAMPLERS``.
        seed: of the study.
        objectives: the figures of a row that are minimised together.
        constraints: what figures may be at most.
    """

    name: str = "tpe"
    seed: int = 0
    objectives: tuple[str, ...] = ("nfe", "fid")
    constraints: Mapping[Objective, float] = field(default_factory=dict)

    def sampler(self, number: int) -> BaseSampler:
        """The sampler that proposes trial ``number``."""
        from optuna import samplers

        kinds: dict[str, type[BaseSampler]] = {
            "tpe": samplers.TPESampler,
            "nsga2": samplers.NSGAIISampler,
            "gp": samplers.GPSampler,
        }
        kind = kinds.get(self.name, samplers.RandomSampler)
        return kind(seed=self.mixed(number))  # type: ignore[call-arg]

    def random(self, number: int) -> Random:
        """Chance for trial ``number``."""
        return Random(self.mixed(number))

    def mixed(self, number: int) -> int:
        """One seed below 2**32, those of neighbours far apart."""
        return (self.seed * 1_000_003 + number * 2_654_435_761) % 2**32
