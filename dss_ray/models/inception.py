"""The Inception network of FID, with torch-fidelity's layers and a weights file of the user's.

Features are pool_3, spatial ones 7 channels of Mixed_6d, logits without bias, as in ADM's evaluator
(arXiv 2105.05233); the resize to 299 x 299 is TensorFlow's.
"""

from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dss_ray.errors import FileError, ModelError, UsageError
from dss_ray.models.foreign import first_line, read_weights
from dss_ray.models.reading import CHANNELS, Reader, Reading, places

INCEPTION = "inception"
INCEPTION_SPEC = "inception?path=FILE"


class Inception(Reader):
    """Inception v3 of 2015, the one that plain FID means.

    Args:
        network: torch-fidelity's extractor of pool_3 and of logits without bias.
    """

    dim, spatial_dim, classes = 2048, CHANNELS * 17**2, 1008

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def read(self, images: Tensor) -> Reading:
        """What it sees in images (B, 1 or 3, H, W) in [0, 1], rounded to 256 levels.

        Raises:
            UsageError: if a gradient is asked for, which the rounding does not have.
            ModelError: if the images are neither grey nor RGB.
        """
        if images.requires_grad:
            raise UsageError(
                "inception judges images of 256 levels, so it has no gradient to steer by; steer "
                "with another extractor"
            )
        if images.ndim != 4 or images.shape[1] not in (1, 3):
            raise ModelError(f"inception reads images (B, 1 or 3, H, W), got {tuple(images.shape)}")
        levels = (images.clamp(0, 1) * 255).round().to(torch.uint8).expand(-1, 3, -1, -1)
        maps: list[Tensor] = []
        hook = self.network.Mixed_6d.register_forward_hook(lambda *seen: maps.append(seen[-1]))
        try:
            features, logits = self.network(levels)
        finally:
            hook.remove()
        return Reading(features, places(maps[0]), logits)


def load_inception(path: str) -> Inception:
    """Inception with the weights in ``path``, a .pt, .pth or .safetensors file.

    Raises:
        UsageError: if torch-fidelity or a torchvision that fits torch is not installed.
        FileError: if the file is missing, corrupt, or belongs to another network.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except (ImportError, RuntimeError) as error:  # the latter from a torchvision of another torch
        raise UsageError(
            f"feature extractor '{INCEPTION}' needs torch-fidelity, and the torchvision that was "
            f"built for torch {torch.__version__} ({error}): pip install 'dss_ray[inception]'"
        ) from None
    # torch-fidelity runs what a file's pickle says: it gets a copy of the tensors alone
    copy = BytesIO()
    torch.save(read_weights(Path(path)), copy)
    copy.seek(0)
    try:
        network = FeatureExtractorInceptionV3(
            INCEPTION, ["2048", "logits_unbiased"], feature_extractor_weights_path=copy
        )
    except RuntimeError as error:
        raise FileError(
            f"{path}: weights of another network than FID's Inception ({first_line(error)}); "
            "take pt_inception-2015-12-05-6726825d.pth, as pytorch-fid and torch-fidelity do"
        ) from None
    return Inception(network)
