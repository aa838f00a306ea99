"""Named feature extractors, with which samples are compared."""

from functools import cache
from typing import cast

from torch import Tensor, nn

from dss_ray.errors import ModelError, require_known
from dss_ray.models import checkpoint, labelled
from dss_ray.models.conformity import explain
from dss_ray.models.zoo import imported


class Classifier(nn.Module):
    """A classifier of grey digits in [0, 1]; its features are the input of the last activation.

    Args:
        layers: map images (B, 1, H, W) in [-1, 1] to features (B, dim).
        dim: number of features.
    """

    def __init__(self, layers: nn.Sequential, dim: int) -> None:
        super().__init__()
        self.layers, self.dim = layers, dim
        self.head = nn.Sequential(nn.GELU(), nn.Linear(dim, labelled.NUM_CLASSES))

    def features(self, images: Tensor) -> Tensor:
        """Features (B, dim) of images (B, 1, H, W)."""
        found: Tensor = self.layers(2 * images - 1)
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, 10) of images (B, 1, H, W)."""
        logits: Tensor = self.head(self.features(images))
        return logits


def convolutional(*channels: int, strides: tuple[int, ...], outputs: int, dim: int) -> Classifier:
    """Convolutions of 3 x 3, then a dense layer from ``outputs`` numbers; untrained."""
    layers: list[nn.Module] = []
    for source, target, stride in zip((1, *channels), channels, strides, strict=False):
        layers += [nn.Conv2d(source, target, 3, stride=stride, padding=1), nn.GELU()]
    return Classifier(nn.Sequential(*layers, nn.Flatten(), nn.Linear(outputs, dim)), dim)


def dense(pixels: int, width: int, dim: int) -> Classifier:
    """Three dense layers, untrained: a judge that shares no weight with a convolutional one."""
    return Classifier(
        nn.Sequential(
            nn.Flatten(),
            nn.Linear(pixels, width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Linear(width, dim),
        ),
        dim,
    )


def digits_cnn() -> Classifier:
    """Three convolutions, untrained."""
    return convolutional(24, 48, 64, strides=(1, 2, 2), outputs=256, dim=48)


def digits_mlp() -> Classifier:
    """Three dense layers, untrained."""
    return dense(64, 192, 48)


def mnist_cnn() -> Classifier:
    """Four convolutions, untrained."""
    return convolutional(16, 32, 64, 64, strides=(1, 2, 2, 2), outputs=1024, dim=64)


def mnist_mlp() -> Classifier:
    """Three dense layers, untrained."""
    return dense(784, 192, 64)


class Extractor(nn.Module):
    """A frozen network as a map from images to features, differentiable in the images.

    Attributes:
        name: under which figures made with it are shown, as in ``FID[digits-cnn]``.
        dim: number of features.
        fingerprint: hex digest of the weights.
    """

    def __init__(self, name: str, network: Classifier) -> None:
        super().__init__()
        self.network = network.requires_grad_(False).eval()
        self.name, self.dim = name, network.dim
        self.fingerprint = checkpoint.fingerprint(network.state_dict())

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, dim) float32 of images (B, *shape) in [0, 1]."""
        return self.network.features(images.float())


EXTRACTORS = {  # makers of their networks
    "digits-cnn": digits_cnn,
    "digits-mlp": digits_mlp,
    "mnist-cnn": mnist_cnn,
    "mnist-mlp": mnist_mlp,
}
STEERING = {  # who steers where one judges
    "digits-cnn": "digits-mlp",
    "digits-mlp": "digits-cnn",
    "mnist-cnn": "mnist-mlp",
    "mnist-mlp": "mnist-cnn",
}


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
    return Extractor(name, network)
