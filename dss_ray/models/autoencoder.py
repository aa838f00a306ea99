"""A small autoencoder of 28 x 28 grey images, in whose latents a flow can run."""

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

LATENT = (4, 7, 7)


class Autoencoder(nn.Module):
    """Images (B, 1, 28, 28) in [0, 1] to latents (B, 4, 7, 7) and back.

    Latents have mean zero and variance one, each sample by itself, so that a flow from standard
    normal noise needs no scaling factor.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 32, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(64, LATENT[0], 3, padding=1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(LATENT[0], 64, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.GELU(),
            nn.Upsample(scale_factor=2.0),
            nn.Conv2d(64, 32, 3, padding=1),
            nn.GELU(),
            nn.Upsample(scale_factor=2.0),
            nn.Conv2d(32, 16, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(16, 1, 3, padding=1),
        )

    def encode(self, images: Tensor) -> Tensor:
        """Latents (B, 4, 7, 7) of images (B, 1, 28, 28) in [0, 1]."""
        return layer_norm(self.encoder(2 * images - 1), LATENT)

    def logits(self, latents: Tensor) -> Tensor:
        """The images (B, 1, 28, 28) of latents (B, 4, 7, 7) before the sigmoid."""
        found: Tensor = self.decoder(latents)
        return found

    def forward(self, latents: Tensor) -> Tensor:
        """Images (B, 1, 28, 28) in [0, 1] of latents (B, 4, 7, 7), in the dtype of the weights."""
        weight = self.decoder[0].weight
        assert isinstance(weight, Tensor)
        return torch.sigmoid(self.logits(latents.to(weight.dtype)))
