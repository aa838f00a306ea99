"""Whether two distances can be compared, and which solver is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

from dss_ray.models.spec import short
from dss_ray.records.leaderboard import Entry, mean_difference, verdict

INCOMPARABLE = "incomparable"


@dataclass(frozen=True)
class Measurement:
    """A distance over fresh seeds, and all that it depends on beside the solver.

    Args:
        model: its name.
        fingerprint: of its weights.
        features: the extractor.
        reference: digest of what the distance is measured from.
        samples: per seed.
        seeds: of the noises.
        values: one distance per seed.
    """

    model: str
    fingerprint: str
    features: str
    reference: str
    samples: int
    seeds: tuple[int, ...]
    values: tuple[float, ...]

    @classmethod
    def of(cls, entry: Entry) -> Self:
        """What a row of the leaderboard was measured on; only finalists have seeds."""
        own = {field.name: entry[field.name] for field in fields(cls) if field.name in entry}
        lists = {"seeds": tuple(entry["seeds"]), "values": tuple(entry["fid_values"])}
        return cls(**own | lists)


@dataclass(frozen=True)
class Comparison:
    """How one solver stands against another.

    Args:
        verdict: "better", "worse" or "tied", or else "incomparable".
        change: paired mean difference of the distances; None where they cannot be compared.
        error: its standard error; likewise.
        reason: why they cannot be compared, else "".
    """

    verdict: str
    change: float | None = None
    error: float | None = None
    reason: str = ""


def compare(ours: Measurement, theirs: Measurement) -> Comparison:
    """Compare two distances, seed by seed."""
    reason = difference(ours, theirs)
    return Comparison(INCOMPARABLE, reason=reason) if reason else judged(ours.values, theirs.values)


def judged(ours: Sequence[float], theirs: Sequence[float], sign: int = 1) -> Comparison:
    """Compare two figures over the same two or more seeds; see ``leaderboard.verdict``.

    Args:
        ours: one per seed.
        theirs: of the other.
        sign: 1 where lower is better, else -1.
    """
    change, error = mean_difference(ours, theirs)
    return Comparison(verdict(sign * change, error), change, error)


def difference(ours: Measurement, theirs: Measurement) -> str:
    """What forbids to compare the two, "" if nothing does."""
    one, other = short(ours.model), short(theirs.model)
    reasons = {
        f"on {one}, not {other}": ours.fingerprint != theirs.fingerprint and one != other,
        f"other weights of {one}": ours.fingerprint != theirs.fingerprint,
        f"by {ours.features}, not {theirs.features}": ours.features != theirs.features,
        "measured from other statistics": ours.reference != theirs.reference,
        "on whose weights is not on record": not ours.fingerprint,
        "not on fresh seeds yet": not (ours.seeds and theirs.seeds),
        f"of {ours.samples:,} samples, not {theirs.samples:,}": ours.samples != theirs.samples,
        f"on seeds {listed(ours.seeds)}, not {listed(theirs.seeds)}": ours.seeds != theirs.seeds,
        "on a single seed": len(ours.seeds) < 2,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def listed(seeds: tuple[int, ...]) -> str:
    """Seeds as people write them."""
    return ", ".join(map(str, seeds))
