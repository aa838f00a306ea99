"""Register the best solvers of sweeps: a model version each, the alias ``champion`` on the best."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dss_ray.bundle import load_bundle
from dss_ray.records.comparison import INCOMPARABLE, Comparison, Measurement, compare
from dss_ray.records.leaderboard import Entry
from dss_ray.records.mlflow.logged_solver import log_solver
from dss_ray.records.notes import model_note, pictures, version_note
from dss_ray.records.version_fields import (
    SOLVER,
    digest,
    measured,
    measurement,
    registered_name,
    version_tags,
)

if TYPE_CHECKING:  # importing mlflow takes seconds, and most commands record nothing
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

CHAMPION = "champion"  # the alias
MODEL = "dss.model"  # tag of a version: the id of its logged model
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

    def __str__(self) -> str:
        return f"{self.name} version {self.version}{', champion' * self.champion}: {self.standing}"


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
            model = self.client.create_logged_model(
                self.experiment, name, run, params=measured(entry), model_type="solver"
            )
            log_solver(self.client, model.model_id, entry, run, bundle)
            tags = version_tags(entry, rival, sweep, solver) | {MODEL: model.model_id}
            note = version_note(entry, rival, pictures(run, bundle.parent.iterdir()))
            version = self.create(name, model, tags, note)
        if STANDING not in version.tags:  # else it was settled, and people may have decided since
            self.settle(name, version)
            version = self.client.get_model_version(name, version.version)
        champion = self.champion(name)
        mine = champion is not None and int(champion.version) == int(version.version)
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

    def create(
        self, name: str, model: LoggedModel, tags: dict[str, str], note: str
    ) -> ModelVersion:
        """A new version, known to the logged model that it is."""
        version = self.client.create_model_version(
            name,
            model.artifact_location,  # models:/ID would be looked up in the process's own store
            model.source_run_id,
            tags,
            description=note,
            model_id=model.model_id,
        )
        known = json.dumps([{"name": name, "version": version.version}])
        self.client.set_logged_model_tags(model.model_id, {"mlflow.modelVersions": known})
        return version

    def champion(self, name: str) -> ModelVersion | None:
        """The version that has the alias."""
        version = self.client.get_registered_model(name).aliases.get(CHAMPION)
        return self.client.get_model_version(name, version) if version else None

    def settle(self, name: str, version: ModelVersion) -> None:
        """Move the alias to ``version`` if it is better than the champion beyond the spread."""
        champion, standing, better = self.champion(name), FIRST, True
        if champion and int(champion.version) != int(version.version):
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
        model = version.tags.get(MODEL)
        return measurement(self.client.get_logged_model(model).params) if model else None


def against(found: Comparison, rival: ModelVersion) -> str:
    """How a solver stands against a version, as people read it."""
    more = found.reason or f"{found.change:+.4f} ± {found.error:.4f}"
    return f"{WORDS[found.verdict]} version {rival.version} ({more})"


def registered_lines(found: Sequence[Registered]) -> list[str]:
    """A list of links in Markdown; none of nothing."""
    lines = [f"- [{one}](#/models/{one.name}/versions/{one.version})" for one in found]
    return ["Registered:", "\n".join(lines)] if lines else []
