"""What a metric demands of samples, extractor and reference, checked before any sample is drawn."""

from collections.abc import Collection
from dataclasses import replace

from dss_ray.errors import UsageError
from dss_ray.evaluation.figures import need_vectors
from dss_ray.evaluation.images import read_images
from dss_ray.evaluation.layouts import REMEDY
from dss_ray.evaluation.reference import ReferenceStatistics
from dss_ray.evaluation.reference_statistics import reference_statistics
from dss_ray.evaluation.statistics import Gaussian
from dss_ray.models.features import Extractor


def fulfilled(
    metrics: Collection[str], samples: int, extractor: Extractor, reference: ReferenceStatistics
) -> ReferenceStatistics:
    """``reference`` with all that ``metrics`` compare with.

    An ADM file's images are read for precision and recall: slow with a large extractor.

    Args:
        metrics: of ``METRICS``.
        samples: that each distance will be taken from.
        extractor: of the samples' features.
        reference: statistics of the same extractor.

    Raises:
        UsageError: if a metric cannot be measured so.
        FileError: if the reference's images cannot be read.
    """
    if "fid" in metrics:
        check_counts("FID", samples, extractor, reference, reference.statistics)
    if "sfid" in metrics:
        check_spatial(extractor, reference)
        check_counts("sFID", samples, extractor, reference, reference.require_spatial())
    if "inception_score" in metrics and getattr(extractor, "classes", None) is None:
        raise UsageError(
            f"inception_score: {extractor.name} does not classify (it gives no logits); name an "
            "extractor that does, such as digits-cnn, or leave the metric out"
        )
    if not need_vectors(metrics):
        return reference
    if reference.vectors is None and reference.images is not None:
        seen = reference_statistics(read_images(reference.images), extractor, reference.source)
        reference = replace(reference, vectors=seen.vectors)
    reference.require_vectors()
    return reference


def check_spatial(extractor: Extractor, reference: ReferenceStatistics) -> None:
    """Refuse an extractor without spatial features, or with others than the reference."""
    dim, found = getattr(extractor, "spatial_dim", None), reference.spatial
    if dim is None:
        raise UsageError(
            f"sFID: {extractor.name} has no convolution, so no spatial features; name an "
            "extractor that has, such as digits-cnn, or leave the metric out"
        )
    if found is not None and found.dim != dim:
        raise UsageError(
            f"{reference.place} have {found.dim} spatial dimensions, {extractor.name} has {dim}; "
            f"{REMEDY}"
        )


def check_counts(
    metric: str,
    samples: int,
    extractor: Extractor,
    reference: ReferenceStatistics,
    compared: Gaussian,
) -> None:
    """Refuse covariances of no more vectors than dimensions, which are singular."""
    name, dim = f"{metric} with {extractor.name}", compared.dim
    require_samples(name, samples, dim)
    if compared.n is not None and compared.n <= dim:
        raise UsageError(
            f"{reference.place}: {compared.n} images are too few for the covariance of {dim} "
            f"dimensions that {name} compares; take more than {dim} images: {REMEDY}"
        )


def require_samples(name: str, samples: int, dim: int) -> None:
    """Refuse so few samples that their covariance is singular.

    Raises:
        UsageError: if ``samples`` are no more than ``dim``.
    """
    if samples <= dim:
        raise UsageError(
            f"{name}: {samples} samples are too few for a covariance of {dim} dimensions; ask for "
            f"more than {dim} (--samples, or samples and final_samples of a sweep's evaluation)"
        )
