"""Latents as images: the decoder of a diffusers autoencoder in a local folder."""

from typing import Any

import torch
from torch import Tensor, nn

from dss_ray.models import checkpoint
from dss_ray.models.diffusers_folder import load_part

AT_ONCE = 8  # latents; the decoder's activations of one image of 512 x 512 take about 2 GB


class LatentDecoder(nn.Module):
    """Latents, as a network models them, to images in [0, 1].

    Args:
        autoencoder: a diffusers AutoencoderKL or AutoencoderDC.

    Attributes:
        fingerprint: hex digest of the weights and the scaling.
    """

    def __init__(self, autoencoder: Any) -> None:
        super().__init__()
        config = autoencoder.config
        self.scaling = float(config.scaling_factor)
        self.shift = float(config.get("shift_factor") or 0.0)
        self.autoencoder = autoencoder.requires_grad_(False).eval()
        self.fingerprint = checkpoint.fingerprint(
            autoencoder.state_dict(), (self.scaling, self.shift)
        )

    def forward(self, latents: Tensor) -> Tensor:
        """Images (B, 3, 8 H, 8 W) in [0, 1], float32, of latents (B, C, H, W), a few at a time.

        AutoencoderDC gives 32 H and 32 W.
        """
        weight = next(self.autoencoder.parameters())
        images = [
            self.autoencoder.decode((part / self.scaling + self.shift).to(weight)).sample.float()
            for part in torch.split(latents, AT_ONCE)
        ]
        return ((torch.cat(images) + 1) / 2).clamp(0, 1)


def load_decoder(folder: str, dtype: str = "float32", kind: str = "AutoencoderKL") -> LatentDecoder:
    """The decoder of the autoencoder in ``folder``, such as a pipeline's ``vae``.

    Raises:
        UsageError: if diffusers is not installed.
        FileError: if the folder holds no such autoencoder.
    """
    return LatentDecoder(load_part(kind, folder, dtype))
