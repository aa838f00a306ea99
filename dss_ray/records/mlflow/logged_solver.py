"""Log a solver as a model that MLflow loads: code and JSON, without a pickle."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dss_ray import __version__
from dss_ray.records.leaderboard import Entry
from dss_ray.records.version_fields import version_figures

if TYPE_CHECKING:  # importing mlflow takes seconds, and most commands record nothing
    from mlflow.tracking import MlflowClient

CODE: Final = Path(__file__).with_name("served_solver.py")
EXAMPLE: Final = [0, 1, 2]  # labels


def log_solver(client: MlflowClient, model: str, entry: Entry, run: str, bundle: Path) -> None:
    """Give a new logged model its files and its figures.

    Args:
        client: of the store.
        model: id of the logged model.
        entry: the solver's row of the leaderboard.
        run: of the trial that found it.
        bundle: its file.
    """
    from mlflow.entities import LoggedModelOutput, Metric

    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder) / "model", model, entry, run, bundle)
        client.log_model_artifacts(model, f"{folder}/model")
    client.finalize_logged_model(model, "READY")
    client.log_outputs(run, [LoggedModelOutput(model, 0)])
    points, now = version_figures(entry).items(), int(time.time() * 1000)
    client.log_batch(run, [Metric(key, value, now, 0, model) for key, value in points])


def save(folder: Path, model: str, entry: Entry, run: str, bundle: Path) -> None:
    """Write the model into a new folder."""
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
        python_model=CODE,
        artifacts={"solver": str(bundle)},
        model_config={name: entry[name] for name in ("model", "fingerprint")} | {"device": "cpu"},
        signature=signature,
        input_example=EXAMPLE,
        pip_requirements=[f"dss_ray=={__version__}"],  # to find them out takes seconds
    )
