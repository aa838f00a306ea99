"""An extractor's features of end states, differentiable."""

import torch
from torch import Tensor

from dss_ray.errors import UsageError
from dss_ray.models.conformity import explain
from dss_ray.models.features import load_extractor
from dss_ray.models.guidance import GuidedModel
from dss_ray.models.reading import within_reach
from dss_ray.search.objective import Features


def feature_map(model: GuidedModel, name: str | None = None) -> Features | None:
    """End states (B, *sample_shape) to the features (B, F) of the images they stand for.

    The images are not rounded to 256 levels, as they are where samples are judged, since rounding
    has no derivative; without ``decode`` states count as pixels in [-1, 1].

    Args:
        model: its ``decode`` and ``features`` count where it has them.
        name: of the extractor; the model's own where None.

    Returns:
        None where neither names an extractor.

    Raises:
        UsageError: if the extractor cannot read such images.
    """
    extractor_name = name or getattr(model, "features", None)
    if extractor_name is None:
        return None
    extractor = load_extractor(extractor_name)
    decode = getattr(model, "decode", None)

    def features(states: Tensor) -> Tensor:
        images: Tensor = (states + 1) / 2 if decode is None else decode(states)
        found: Tensor = extractor(within_reach(extractor, images))
        return found

    try:
        features(torch.zeros(2, *model.sample_shape, device=model.device))
    except RuntimeError as error:
        raise UsageError(
            f"feature extractor '{extractor_name}' cannot read the samples {model.sample_shape} of "
            f"{model.name} ({explain(error)}): name another one as the setting features"
        ) from error
    return features
