"""Named feature extractors, with which samples are compared."""

from functools import cache
from typing import cast

from torch import Tensor, nn

from dss_ray.errors import ModelError, require_known
from dss_ray.models import checkpoint, digits
from dss_ray.models.conformity import explain
from dss_ray.models.zoo import imported

DIM = 48  # features of a classifier of the digits


class DigitsClassifier(nn.Module):
    """A classifier of 8 x 8 digits in [0, 1]; its features are the input of the last activation.

    Args:
        layers: map images (B, 1, 8, 8) in [-1, 1] to features (B, 48).
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.GELU(), nn.Linear(DIM, digits.NUM_CLASSES))

    def features(self, images: Tensor) -> Tensor:
        """Features (B, 48) of images (B, 1, 8, 8)."""
        found: Tensor = self.layers(2 * images - 1)
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, 10) of images (B, 1, 8, 8)."""
        logits: Tensor = self.head(self.features(images))
        return logits


def digits_cnn() -> DigitsClassifier:
    """Three convolutions, untrained."""
    return DigitsClassifier(
        nn.Conv2d(1, 24, 3, padding=1),
        nn.GELU(),
        nn.Conv2d(24, 48, 3, stride=2, padding=1),
        nn.GELU(),
        nn.Conv2d(48, 64, 3, stride=2, padding=1),
        nn.GELU(),
        nn.Flatten(),
        nn.Linear(256, DIM),
    )


def digits_mlp() -> DigitsClassifier:
    """Three dense layers, untrained: a judge that shares no weight with ``digits_cnn``."""
    return DigitsClassifier(
        nn.Flatten(),
        nn.Linear(64, 192),
        nn.GELU(),
        nn.Linear(192, 192),
        nn.GELU(),
        nn.Linear(192, DIM),
    )


class Extractor(nn.Module):
    """A frozen network as a map from images to features, differentiable in the images.

    Attributes:
        name: under which figures made with it are shown, as in ``FID[digits-cnn]``.
        dim: number of features.
        fingerprint: hex digest of the weights.
    """

    def __init__(self, name: str, network: DigitsClassifier, dim: int) -> None:
        super().__init__()
        self.network = network.requires_grad_(False).eval()
        self.name, self.dim = name, dim
        self.fingerprint = checkpoint.fingerprint(network.state_dict())

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, dim) float32 of images (B, *shape) in [0, 1]."""
        return self.network.features(images.float())


EXTRACTORS = {"digits-cnn": digits_cnn, "digits-mlp": digits_mlp}  # makers of their networks
STEERING = {"digits-cnn": "digits-mlp", "digits-mlp": "digits-cnn"}  # who steers where one judges


@cache
def load_extractor(name: str) -> Extractor:
    """The extractor of that name.

    Args:
        name: one of ``EXTRACTORS``, or ``package.module:callable`` for a callable that returns one.

    Raises:
        UsageError: if the name is unknown.
        FileError: if its weights are missing or corrupt.
        ModelError: if the callable cannot be imported or returns something else.
    """
    if ":" in name:
        try:
            made = imported(name)()
        except (Exception, SystemExit) as error:
            raise ModelError(f"feature extractor '{name}': {explain(error)}") from error
        lacking = [word for word in ("name", "dim", "fingerprint") if not hasattr(made, word)]
        if lacking or not callable(made):
            raise ModelError(
                f"feature extractor '{name}': expected a callable images -> features with name, "
                f"dim and fingerprint, got a {type(made).__name__} "
                f"without {', '.join(lacking) or 'a call'}"
            )
        return cast(Extractor, made)
    require_known("feature extractor", name, EXTRACTORS)
    network = EXTRACTORS[name]()
    checkpoint.restore(network, checkpoint.SHIPPED / f"{name}.safetensors")
    return Extractor(name, network, DIM)
