"""Bundles of version 1: without conventions, sweep and hash, their figures plain numbers."""

from typing import Any

SAMPLES = "samples"  # stood among the figures of a sweep's trial


def upgraded(document: dict[str, Any]) -> dict[str, Any]:
    """A bundle's JSON in the newest version; one that is no version 1 as it is."""
    metrics = document.get("metrics")
    if document.get("schema_version") != 1 or not isinstance(metrics, dict):
        return document
    samples = metrics.get(SAMPLES)
    figures = {
        name: measured(value, samples)
        for name, value in metrics.items()
        if name != SAMPLES and value is not None
    }
    return document | {"schema_version": 2, "metrics": figures}


def measured(value: object, samples: object) -> object:
    """A figure in the newest form: a number, or mean, spread and values, as they were written."""
    unknown = {"samples": samples, "seeds": None, "domain": None}
    if isinstance(value, dict):
        return unknown | value
    return unknown | {"mean": value, "spread": None, "values": [value]}
