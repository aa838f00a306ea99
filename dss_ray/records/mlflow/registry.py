"""Register the best solvers of sweeps: a model version each, the alias ``champion`` on the best."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dss_ray import __version__
from dss_ray.bundle import load_bundle
from dss_ray.records.comparison import INCOMPARABLE, Comparison, Measurement, compare
from dss_ray.records.notes import Entry, model_note, pictures, version_note
from dss_ray.records.version_fields import (
    SOLVER,
    digest,
    measured,
    measurement,
    registered_name,
    version_tags,
)

if TYPE_CHECKING:  # importing mlflow takes seconds, and most commands record nothing
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

CHAMPION = "champion"  # the alias
STANDING = "standing"  # tag of a version: how it stood against the champion of its time
FIRST = "the first one"
WORDS = {
    "better": "better than",
    "worse": "worse than",
    "tied": "tied with",
    INCOMPARABLE: "not comparable with",
}


@dataclass(frozen=True)
class Registered:
    """A solver in the registry.

    Args:
        name: of the registered model.
        version: its number.
        champion: whether the alias is with it.
        standing: how it stood against the champion of its time.
    """

    name: str
    version: int
    champion: bool
    standing: str


class Registry:
    """The registered solvers of a store.

    Args:
        client: of the store.
        experiment: of all sweeps.
    """

    def __init__(self, client: MlflowClient, experiment: str) -> None:
        self.client, self.experiment = client, experiment

    def register(
        self, entry: Entry, rival: Entry, sweep: str, run: str, bundle: Path
    ) -> Registered:
        """Register a solver once, and give it the alias where it beats the champion.

        Args:
            entry: the leaderboard's row of a solver that beats every classical one there.
            rival: the row of the best of these.
            sweep: its name.
            run: of the trial.
            bundle: the solver's file.
        """
        name, solver = registered_name(entry["model"], entry["nfe"]), digest(load_bundle(bundle))
        version = self.find(name, solver)
        if version is None:
            self.ensure(name, model_note(name, entry["model"], entry["nfe"]))
            model = self.log_model(name, entry, run, bundle)
            version = self.client.create_model_version(
                name,
                f"models:/{model}",
                run,
                tags=version_tags(entry, rival, sweep, solver),
                description=version_note(entry, rival, pictures(run, bundle.parent.iterdir())),
                model_id=model,
            )
        if STANDING not in version.tags:  # else it was settled, and people may have decided since
            self.settle(name, version)
            version = self.client.get_model_version(name, version.version)
        champion = self.champion(name)
        mine = champion is not None and champion.version == version.version
        return Registered(name, int(version.version), mine, version.tags[STANDING])

    def find(self, name: str, solver: str) -> ModelVersion | None:
        """The version of the solver with this digest."""
        query = f"name = '{name}' AND tag.`{SOLVER}` = '{solver}'"
        found = self.client.search_model_versions(query)
        return found[0] if found else None

    def ensure(self, name: str, note: str) -> None:
        """Make the registered model, unless it is there."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(name, description=note)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def log_model(self, name: str, entry: Entry, run: str, bundle: Path) -> str:
        """The id of a new logged model of ``run``: the solver's file and the code that draws."""
        from mlflow.entities import LoggedModelOutput

        model = self.client.create_logged_model(
            self.experiment, name, run, params=measured(entry), model_type="solver"
        )
        with tempfile.TemporaryDirectory() as folder:
            save(Path(folder) / "model", entry, bundle, model.model_id, run)
            self.client.log_model_artifacts(model.model_id, f"{folder}/model")
        self.client.finalize_logged_model(model.model_id, "READY")
        self.client.log_outputs(run, [LoggedModelOutput(model.model_id, 0)])
        return str(model.model_id)

    def champion(self, name: str) -> ModelVersion | None:
        """The version that has the alias."""
        version = self.client.get_registered_model(name).aliases.get(CHAMPION)
        return self.client.get_model_version(name, version) if version else None

    def settle(self, name: str, version: ModelVersion) -> None:
        """Move the alias to ``version`` if it is better than the champion beyond the spread."""
        champion, standing, better = self.champion(name), FIRST, True
        if champion and champion.version != version.version:
            found = self.compared(version, champion)
            standing, better = against(found, champion), found.verdict == "better"
        if better:
            self.client.set_registered_model_alias(name, CHAMPION, version.version)
        self.client.set_model_version_tag(name, version.version, STANDING, standing)

    def compared(self, ours: ModelVersion, theirs: ModelVersion) -> Comparison:
        """Compare what two versions were measured on."""
        own, other = self.measurement(ours), self.measurement(theirs)
        if own is None or other is None:
            return Comparison(INCOMPARABLE, reason="which no sweep has measured")
        return compare(own, other)

    def measurement(self, version: ModelVersion) -> Measurement | None:
        """What a version was measured on; None of one that no sweep has registered."""
        if not version.model_id:
            return None
        return measurement(self.client.get_logged_model(version.model_id).params)


def against(found: Comparison, rival: ModelVersion) -> str:
    """How a solver stands against a version, as people read it."""
    more = found.reason or f"{found.change:+.4f} ± {found.error:.4f}"
    return f"{WORDS[found.verdict]} version {rival.version} ({more})"


def registered_lines(found: Sequence[Registered]) -> list[str]:
    """A list of links in Markdown; none of nothing."""
    lines = [
        f"- [{one.name}](#/models/{one.name}/versions/{one.version}), version {one.version}"
        f"{', **champion**' if one.champion else ''}: {one.standing}"
        for one in found
    ]
    return ["Registered:", "\n".join(lines)] if lines else []


def save(folder: Path, entry: Entry, bundle: Path, model: str, run: str) -> None:
    """Write a model that MLflow loads: the code, the solver as JSON, and no pickle."""
    import numpy as np
    from mlflow import pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec

    signature = ModelSignature(
        inputs=Schema([ColSpec("long")]),  # unnamed: lists, arrays and tables of one column
        outputs=Schema([TensorSpec(np.dtype("float32"), (-1, -1, -1, -1))]),
        params=ParamSchema([ParamSpec("seed", "long", 0)]),
    )
    pyfunc.save_model(
        folder,
        mlflow_model=Model(model_id=model, model_uuid=model, run_id=run),
        python_model=Path(__file__).with_name("served_solver.py"),
        artifacts={"solver": str(bundle)},
        model_config={name: entry[name] for name in ("model", "fingerprint")} | {"device": "cpu"},
        signature=signature,
        input_example=[0, 1, 2],
        pip_requirements=[f"dss_ray=={__version__}"],  # to find them out takes seconds
    )
