"""What a sweep's rows say that it cost."""

from collections.abc import Iterable
from typing import Any

from dss_ray.records.rows import Row

HOUR = 3600.0


def cost(rows: Iterable[Row], cpus: int, gpus: float) -> dict[str, Any]:
    """Totals over ``rows``, JSON-ready.

    Args:
        rows: of a sweep.
        cpus: that one worker holds.
        gpus: likewise, maybe a fraction.

    Returns:
        ``search_evaluations`` and ``sampling_evaluations`` (network calls per sample, summed over
        samples), ``samples`` of the selection that solvers were judged by, ``stopped`` (searched
        trials that were stopped before all their samples), ``violated`` (those that break a
        constraint), ``cpu_hours`` and ``gpu_hours`` that jobs held their workers; finalists count
        in ``sampling_evaluations`` alone.
    """
    known = list(rows)
    hours = sum(row.worker_seconds or 0.0 for row in known) / HOUR
    return {
        "search_evaluations": sum(row.evaluations or 0 for row in known),
        "sampling_evaluations": sum(row.sampling_evaluations or 0 for row in known),
        "samples": sum(max(row.fid_by_samples, default=0) for row in known),
        "stopped": sum(row.stopped for row in known),
        "violated": sum(bool(row.violated) for row in known),
        "cpu_hours": cpus * hours,
        "gpu_hours": gpus * hours,
    }
