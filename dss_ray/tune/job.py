"""One job of a sweep, and the key of all that determines its result."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import dss_ray
from dss_ray.config.space import Value
from dss_ray.config.sweep import Baselines, Evaluation
from dss_ray.tune.loaded import judged_by, load


@dataclass(frozen=True)
class Job:
    """What a worker is asked to do.

    Args:
        kind: "searched" (search one solver and judge it) or "baseline" (screen the classical and
            published ones at one NFE and guidance and judge the best).
        model: name of the model.
        values: the active values of the space; nfe and guidance alone for "baseline".
        evaluation: how to judge.
        baselines: what to screen.
        device: where the model goes.
        start: the table that the search starts from, as JSON, where ``values`` names none of the
            classical ones; the worker may lack its file.
    """

    kind: str
    model: str
    values: dict[str, Value]
    evaluation: Evaluation
    baselines: Baselines
    device: str = "cpu"
    start: dict[str, Any] | None = None

    @property
    def key(self) -> str:
        """Hash of all that determines the result; finished keys never run again."""
        document = {
            "version": dss_ray.__version__,
            "kind": self.kind,
            "model": load(self.model).fingerprint,
            "values": self.values,
            "samples": self.evaluation.samples,
            "seed": self.evaluation.seed,
            "reference": self.reference_digest(),
            "baselines": self.baselines.model_dump() if self.kind == "baseline" else None,
        }
        if self.evaluation.rungs:  # they decide where a trial may stop
            document["rungs"] = self.evaluation.rungs, self.evaluation.reduction_factor
        if self.start:
            document["start"] = self.start
        if self.search_model != self.model:
            document["searched_on"] = load(self.search_model).fingerprint
        text = json.dumps(document, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def search_model(self) -> str:
        """The model to search on: the one to judge on, unless the values name another."""
        return str(self.values.get("search_model", self.model))

    def reference_digest(self) -> str:
        """Hash of what the distance is measured with and from."""
        _, reference = judged_by(self.model, self.evaluation.judge())
        mean = reference.statistics.mean.numpy().tobytes()
        return hashlib.sha256(reference.fingerprint.encode() + mean).hexdigest()[:16]
