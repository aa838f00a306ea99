"""How the next trial is chosen: Optuna's samplers by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # Optuna takes a second to import
    from optuna.samplers import BaseSampler

GRID = "grid"  # all points of a finite space in order; the study lists them itself
SAMPLERS = ("tpe", "nsga2", "gp", "random", GRID)


def make_sampler(name: str, seed: int, number: int) -> BaseSampler:
    """The sampler that proposes trial ``number``.

    Each trial has a sampler of its own, so that a proposal depends on the seed, the number and the
    trials on record alone: a resumed study proposes what an undisturbed one would have.

    Args:
        name: of ``SAMPLERS``.
        seed: of the study.
        number: of the trial.
    """
    from optuna import samplers

    kinds: dict[str, type[BaseSampler]] = {
        "tpe": samplers.TPESampler,
        "nsga2": samplers.NSGAIISampler,
        "gp": samplers.GPSampler,
    }
    return kinds.get(name, samplers.RandomSampler)(seed=mixed(seed, number))  # type: ignore[call-arg]


def mixed(seed: int, number: int) -> int:
    """One seed below 2**32 of two numbers, neighbours far apart."""
    return (seed * 1_000_003 + number * 2_654_435_761) % 2**32
