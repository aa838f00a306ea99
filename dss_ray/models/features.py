"""Named feature extractors, with which samples are compared."""

from functools import cache
from typing import cast

from torch import Tensor, nn

from dss_ray.errors import ModelError, UsageError, require_known
from dss_ray.models import checkpoint, labelled
from dss_ray.models.conformity import explain
from dss_ray.models.inception import INCEPTION, INCEPTION_SPEC, load_inception
from dss_ray.models.reading import CHANNELS, Reader, Reading, places
from dss_ray.models.spec import parse_spec
from dss_ray.models.zoo import imported


class Classifier(Reader):
    """A classifier of grey digits in [0, 1]; its features are the input of the last activation.

    Args:
        layers: map images (B, 1, H, W) in [-1, 1] to features (B, dim).
        dim: number of features.
        mapped: how many of the layers end in the maps (B, C, side, side) of the spatial features;
            0 without them.
        side: of those maps.
    """

    classes = labelled.NUM_CLASSES

    def __init__(self, layers: nn.Sequential, dim: int, mapped: int = 0, side: int = 0) -> None:
        super().__init__()
        self.layers, self.dim, self.mapped = layers, dim, mapped
        self.spatial_dim = CHANNELS * side**2 if mapped else None
        self.head = nn.Sequential(nn.GELU(), nn.Linear(dim, labelled.NUM_CLASSES))

    def features(self, images: Tensor) -> Tensor:
        """Features (B, dim) of images (B, 1, H, W)."""
        found: Tensor = self.layers(2 * images - 1)
        return found

    def read(self, images: Tensor) -> Reading:
        """Features, spatial ones where there are maps, and logits of images (B, 1, H, W)."""
        maps = self.layers[: self.mapped](2 * images - 1)
        features = self.layers[self.mapped :](maps)
        return Reading(features, places(maps) if self.mapped else None, self.head(features))

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, 10) of images (B, 1, H, W)."""
        logits: Tensor = self.head(self.features(images))
        return logits


def convolutional(
    *channels: int, strides: tuple[int, ...], outputs: int, dim: int, mapped: int, side: int
) -> Classifier:
    """Convolutions of 3 x 3, then a dense layer from ``outputs`` numbers; untrained.

    The convolution number ``mapped``, of ``side`` x ``side`` places, gives the spatial features.
    """
    layers: list[nn.Module] = []
    for source, target, stride in zip((1, *channels), channels, strides, strict=False):
        layers += [nn.Conv2d(source, target, 3, stride=stride, padding=1), nn.GELU()]
    whole = nn.Sequential(*layers, nn.Flatten(), nn.Linear(outputs, dim))
    return Classifier(whole, dim, 2 * mapped, side)


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
    return convolutional(24, 48, 64, strides=(1, 2, 2), outputs=256, dim=48, mapped=2, side=4)


def digits_mlp() -> Classifier:
    """Three dense layers, untrained."""
    return dense(64, 192, 48)


def mnist_cnn() -> Classifier:
    """Four convolutions, untrained."""
    strides = (1, 2, 2, 2)
    return convolutional(16, 32, 64, 64, strides=strides, outputs=1024, dim=64, mapped=3, side=7)


def mnist_mlp() -> Classifier:
    """Three dense layers, untrained."""
    return dense(784, 192, 64)


class Extractor(Reader):
    """A frozen network as a map from images to features.

    Attributes:
        name: under which figures made with it are shown, as in ``FID[digits-cnn]``.
        fingerprint: hex digest of the weights.
    """

    def __init__(self, name: str, network: Reader) -> None:
        super().__init__()
        self.network = network.requires_grad_(False).eval()
        self.name, self.dim = name, network.dim
        self.spatial_dim, self.classes = network.spatial_dim, network.classes
        self.fingerprint = checkpoint.fingerprint(network.state_dict())

    def read(self, images: Tensor) -> Reading:
        """All that the network sees in images (B, *shape) in [0, 1], float32, in one pass."""
        return self.network.read(images.float())

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, dim) float32 of images (B, *shape) in [0, 1].

        Differentiable in the images, but for those of Inception, which takes 256 levels.
        """
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
        name: one of ``EXTRACTORS``, ``inception?path=FILE``, or ``package.module:callable`` for a
            callable that returns one. Its own extractors are called, and have ``name``, ``dim`` and
            ``fingerprint``; for sFID and the Inception score also ``spatial_dim`` or ``classes``
            and a method ``read``, as in ``dss_ray.models.reading``. One with a method ``to``
            is moved to the images' device, another reads them on the CPU.

    Raises:
        UsageError: if the name is unknown, or Inception lacks its path or its library.
        FileError: if its weights are missing or corrupt.
        ModelError: if the callable cannot be imported or returns something else.
    """
    kind, options = parse_spec(name)
    if kind == INCEPTION:
        if set(options) != {"path"}:
            raise UsageError(
                f"feature extractor '{name}': expected {INCEPTION_SPEC}, the weights on this "
                f"machine; without a file there are {', '.join(EXTRACTORS)}"
            )
        return Extractor(INCEPTION, load_inception(str(options["path"])))
    if ":" in name:
        return own_extractor(name)
    require_known("feature extractor", name, [*EXTRACTORS, INCEPTION_SPEC])
    network = EXTRACTORS[name]()
    checkpoint.restore(network, checkpoint.SHIPPED / f"{name}.safetensors")
    return Extractor(name, network)


def own_extractor(name: str) -> Extractor:
    """What the callable ``package.module:callable`` returns.

    Raises:
        ModelError: if it cannot be imported or returns something else.
    """
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
