"""What MLflow runs to serve a registered solver: it copies this file and keeps it as the code."""

import warnings
from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel
from mlflow.types.type_hints import TypeFromExample
from numpy.typing import NDArray

from dss_ray.api import load_model, load_solver, sample


class ServedSolver(PythonModel):
    """Draws images with a solver; all that is stored of it is this code and a JSON file.

    ``mlflow.pyfunc.load_model(uri, model_config={"model": ..., "device": "cuda"})`` names another
    place of the network's weights, or another device.

    Attributes:
        solver: the bundle: the table, its guidance, and where it comes from.
    """

    def load_context(self, context: Any) -> None:
        """Read the solver; the network is loaded when the first images are drawn."""
        self.solver = load_solver(context.artifacts["solver"])
        self.config = dict(context.model_config)
        self.network: Any = None

    def predict(
        self,
        context: Any,  # noqa: ARG002 - MLflow's signature
        model_input: TypeFromExample,
        params: dict[str, Any] | None = None,
    ) -> NDArray[np.float32]:
        """Images (n, C, H, W) in [0, 1], those that ``dss_ray.sample`` draws.

        Args:
            context: not needed any more.
            model_input: n labels, one for each image; a model without classes ignores them.
            params: ``seed`` of the noises, 0 by default.
        """
        if self.network is None:
            self.network = self.load_network()
        labels = np.asarray(model_input).reshape(-1).tolist()
        seed = int((params or {}).get("seed", 0))
        images = sample(self.solver, self.network, seed=seed, labels=labels)
        return np.asarray(images, dtype=np.float32)

    def load_network(self) -> Any:
        """The model that the solver was judged on."""
        network = load_model(self.config["model"], device=self.config["device"])
        if network.fingerprint != self.config["fingerprint"]:
            warnings.warn(
                f"{self.solver.name} was judged on other weights of {network.name}; its figures do "
                "not hold for these",
                stacklevel=2,
            )
        return network


set_model(ServedSolver())
