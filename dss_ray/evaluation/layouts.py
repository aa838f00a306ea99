"""Files of reference statistics: this package's, ADM's, clean-fid's, EDM's and torch-fidelity's.

Those of others hold mean and covariance of Inception's features, without saying so.
"""

from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dss_ray.errors import FileError
from dss_ray.evaluation.images import BROKEN
from dss_ray.models.foreign import first_line
from dss_ray.models.inception import INCEPTION

REMEDY = "`dss-ray reference IMAGES --features F -o stats.npz` writes them"
OWN = {"n", "features", "fingerprint", "source"}  # what the files of others lack
READ = {"mu", "sigma", "mu_s", "sigma_s", "vectors", *OWN}
UNKNOWN = ""  # the fingerprint of an extractor that a file does not name
PICKLED = (".pkl", ".pickle")
Pair = tuple[Tensor, Tensor]  # mean (D,) and covariance (D, D)

ARRAYS = [  # what torch may build from a .pt file of numpy arrays; all of it is data
    np.ndarray,
    np.dtype,
    np.dtypes.Float32DType,
    np.dtypes.Float64DType,
    *(
        (np.empty(0).__reduce__()[0], f"numpy.{core}.multiarray._reconstruct")
        for core in ("core", "_core")
    ),
]


@dataclass(frozen=True, eq=False)
class Stored:
    """What a file holds.

    Args:
        pair: mean (D,) and covariance (D, D) of the features, float64.
        spatial: those of the spatial features; None without them.
        n: number of images; None where the file does not say.
        features: name of the extractor.
        fingerprint: of the extractor; ``UNKNOWN`` where the file does not say.
        source: what the images are.
        vectors: (M, D) float32, the features of some images; None without them.
        images: the file itself where it holds images to take vectors from, as ADM's do.
    """

    pair: Pair
    spatial: Pair | None
    n: int | None
    features: str
    fingerprint: str
    source: str
    vectors: Tensor | None = None
    images: Path | None = None


def read_stored(path: Path) -> Stored:
    """Read a file of any layout: an .npz, or a .pt of torch-fidelity's cache.

    Raises:
        FileError: if the file is missing, corrupt, a pickle, or holds no statistics.
    """
    if path.suffix in PICKLED:
        raise FileError(
            f"{path}: a pickle can run code, so none is read; where you trust it, convert it: "
            "python -c \"import pickle, numpy; s = pickle.load(open('IN.pkl', 'rb')); "
            "numpy.savez('OUT.npz', **s.get('fid', s))\""
        )
    try:
        arrays, images = read_cache(path) if path.suffix == ".pt" else read_npz(path)
        stored = parsed(path, arrays, images)
    except UnpicklingError as error:
        raise FileError(
            f"{path}: holds more than mu and sigma, and code in a pickle is never run "
            f"({first_line(error)}); {REMEDY}"
        ) from None
    except (TypeError, AttributeError, *BROKEN) as error:
        raise FileError(f"{path}: no readable reference statistics ({error}); {REMEDY}") from None
    check_pair(path, stored.pair, "mu", "sigma")
    if stored.spatial is not None:
        check_pair(path, stored.spatial, "mu_s", "sigma_s")
    if stored.n is not None and stored.n < 2:
        raise FileError(f"{path}: holds fewer than two images; {REMEDY}")
    check_vectors(path, stored)
    return stored


def read_npz(path: Path) -> tuple[dict[str, Any], bool]:
    """The arrays of an .npz but for its images, and whether it has images."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files if name in READ}, "arr_0" in file.files


def read_cache(path: Path) -> tuple[dict[str, Any], bool]:
    """The arrays of a .pt file, read without running code."""
    with torch.serialization.safe_globals(ARRAYS):  # type: ignore[arg-type]
        return dict(torch.load(path, map_location="cpu", weights_only=True)), False


def parsed(path: Path, arrays: dict[str, Any], images: bool) -> Stored:
    """The arrays by their meaning; a file that names no extractor is taken to be Inception's."""
    foreign = not OWN & arrays.keys()
    if foreign:  # torch-fidelity's means are float32
        arrays = {name: array.astype(np.float64, casting="safe") for name, array in arrays.items()}
    pair = as_pair(arrays["mu"], arrays["sigma"])
    spatial = as_pair(arrays["mu_s"], arrays["sigma_s"]) if "mu_s" in arrays else None
    if foreign:
        source = f"{path.name}, which names no extractor and is taken to be Inception's"
        kept = path if images else None
        return Stored(pair, spatial, None, INCEPTION, UNKNOWN, source, images=kept)
    texts = (str(arrays[name]) for name in ("features", "fingerprint", "source"))
    features, fingerprint, source = texts
    vectors = torch.from_numpy(arrays["vectors"]) if "vectors" in arrays else None
    return Stored(pair, spatial, int(arrays["n"]), features, fingerprint, source, vectors)


def as_pair(mean: np.ndarray, covariance: np.ndarray) -> Pair:
    """Both as tensors."""
    return torch.from_numpy(mean), torch.from_numpy(covariance)


def check_pair(path: Path, pair: Pair, *names: str) -> None:
    """Refuse what are no mean and covariance."""
    (mean, sigma), (first, second) = pair, names
    dim, dtypes = mean.numel(), {mean.dtype, sigma.dtype}
    if mean.shape != (dim,) or sigma.shape != (dim, dim) or dtypes != {torch.float64}:
        raise FileError(
            f"{path}: expected float64 {first} (D,) and {second} (D, D), "
            f"got {mean.dtype} {tuple(mean.shape)} and {sigma.dtype} {tuple(sigma.shape)}; {REMEDY}"
        )
    if not torch.allclose(sigma, sigma.T) or (sigma.diagonal() < 0).any():
        raise FileError(
            f"{path}: {second} is no covariance (symmetric, not negative, not NaN); {REMEDY}"
        )
    if not (mean.isfinite().all() and sigma.isfinite().all()):
        raise FileError(f"{path}: {first} or {second} holds NaN or infinity; {REMEDY}")


def check_vectors(path: Path, stored: Stored) -> None:
    """Refuse vectors that are not some of the features."""
    vectors, dim = stored.vectors, len(stored.pair[0])
    if vectors is not None and not (
        vectors.dtype == torch.float32
        and vectors.shape[1:] == (dim,)
        and len(vectors) <= (stored.n or 0)
        and vectors.isfinite().all()
    ):
        raise FileError(f"{path}: vectors are no finite float32 features (M, {dim}); {REMEDY}")
