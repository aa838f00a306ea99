"""How many steps a reference needs: they double until the end states stop moving."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from dss_ray.errors import ConvergenceError, UsageError

STEPS = (20, 40, 80, 160, 320, 640)
TOLERANCE = 5e-4  # relative error of the end states that every reference keeps
# Doubling the steps divides the error by 2^2 at least: the method's order is 4, its start's 2.
FULL_GAIN, LEAST_GAIN = 2**2, 2
# The sum of so many steps is off by up to 11 roundings of the states' type, on fields with exact
# solutions and on the digits network alike: no estimate is below this many.
ROUNDINGS = 16
# Below this, doubling that gains less than LEAST_GAIN has met the model's own rounding.
ROUGHEST = 1e-5


@dataclass(frozen=True)
class Convergence:
    """The step count found.

    Args:
        steps: of the reference.
        error: root mean square error of its end states relative to their size, an upper estimate.
        tried: all step counts that were solved to find it.
    """

    steps: int
    error: float
    tried: tuple[int, ...]


def converged_steps(
    end: Callable[[int], Tensor], tolerance: float = TOLERANCE, fewest: int = 0
) -> Convergence:
    """The fewest steps whose end states are within ``tolerance`` of the exact ones.

    The error left after a doubling is what the doubling changed, over its gain less one; the gain
    is that of the last doubling, at most that of the method's order. A tolerance below what the
    states' type can hold counts as that: 2e-6 in float32. Where the model's own rounding ends the
    fall before, the steps from which it no longer falls are the answer, or 640 if it falls to the
    last; the error then says what was reached.

    Args:
        end: the end states (B, *sample_shape) that a step count of STEPS reaches.
        tolerance: root mean square error allowed, relative to that of the end states.
        fewest: no step count below this is an answer.

    Raises:
        ConvergenceError: if 640 steps are not within the default tolerance.
        UsageError: if more than 640 steps are asked for.
    """
    if fewest > STEPS[-1]:
        raise UsageError(
            f"reference: at most {STEPS[-1]} steps are possible, but at least {fewest} were asked "
            "for: search a solver with fewer queries"
        )
    counts = [count for count in STEPS if 2 * count >= fewest]  # the first only to compare with
    coarse, before = end(counts[0]), float("inf")
    for number, (count, doubled) in enumerate(pairwise(counts), 2):
        fine, tried = end(doubled), tuple(counts[:number])
        moved = distance(fine, coarse)
        gain = before / moved if moved else float("inf")
        floor = ROUNDINGS * torch.finfo(fine.dtype).eps
        error = max(moved / (min(max(gain, LEAST_GAIN), FULL_GAIN) - 1), floor)
        if error <= max(tolerance, floor):
            return Convergence(doubled, error, tried)
        if gain < LEAST_GAIN and moved <= ROUGHEST:
            return Convergence(count, moved + error, tried)
        coarse, before = fine, moved
    if error <= TOLERANCE:
        return Convergence(doubled, error, tried)
    raise ConvergenceError(
        f"the reference trajectory is still off by {error:.2g} of its size at {STEPS[-1]} steps "
        f"(tolerance {max(tolerance, TOLERANCE):.2g}): is the velocity smooth in time, and the "
        "same whenever it is asked?"
    )


def distance(one: Tensor, other: Tensor) -> float:
    """Root mean square difference relative to the size of ``one``; absolute where that is 0."""
    one, other = one.double(), other.double()
    off, size = ((values.square().mean()) ** 0.5 for values in (one - other, one))
    return float(off) / (float(size) or 1.0)
