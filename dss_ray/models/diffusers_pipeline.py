"""A pipeline of diffusers in a local folder, from which a model is made."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from dss_ray.errors import FileError, UsageError, require_known
from dss_ray.models.conventions import ConvertedModel, ddpm_path
from dss_ray.models.diffusers_folder import load_alphas_cumprod, load_part
from dss_ray.models.diffusers_networks import DiffusersModel, DiTNetwork, PromptNetwork
from dss_ray.models.latents import LatentDecoder, load_decoder
from dss_ray.models.official import DTYPES
from dss_ray.models.prompts import COMMAND, read_prompts


@dataclass(frozen=True)
class Pipeline:
    """A pipeline's folder and how its parts are wanted.

    Args:
        name: of the model.
        folder: holds ``transformer`` and, where they are needed, ``vae`` and ``scheduler``.
        dtype: of the weights, "float32", "bfloat16" or "float16".
        features: name of the extractor that judges the images.
        decode: whether the folder's ``vae``, where there is one, makes images of states.
    """

    name: str
    folder: str | None
    dtype: str
    features: str | None
    decode: bool

    def path(self, part: str = "") -> str:
        """Where a part lies, or UsageError without a folder."""
        if self.folder is None:
            raise UsageError(
                f"model '{self.name}' ships without weights; name the folder of its diffusers "
                f"pipeline, as in '{self.name}?folder=FOLDER'"
            )
        return str(Path(self.folder) / part)

    def transformer(self, kind: str) -> Any:
        """The transformer of the diffusers class ``kind``."""
        require_known("dtype", self.dtype, DTYPES)
        found = load_part(kind, self.path("transformer"), self.dtype)
        inside, outside = found.config.in_channels, found.config.out_channels
        if outside not in (None, inside, 2 * inside):
            raise FileError(
                f"{self.path('transformer')}: predicts {outside} channels of {inside}, so it takes "
                "an image besides; name the folder of a plain text-to-image model"
            )
        return found

    def prompts(self, path: str | None, widths: dict[str, int]) -> dict[str, Tensor]:
        """The tensors of a file of prompts, or UsageError where none is named."""
        if path is None:
            raise UsageError(
                f"model '{self.name}' needs a file of prompts, as in '{self.name}?"
                f"folder={self.folder}&prompts=FILE'; make it with '{COMMAND}'"
            )
        return read_prompts(path, widths)

    def decoder(self, kind: str) -> LatentDecoder | None:
        """The decoder of the diffusers class ``kind``; None if there is none or none is wanted."""
        folder = self.path("vae")
        if self.decode and Path(folder).is_dir():
            return load_decoder(folder, self.dtype, kind)
        if self.features is not None:
            raise UsageError(
                f"model '{self.name}': features '{self.features}' need images; fetch the "
                f"autoencoder into {folder} and leave decode at true"
            )
        return None

    def model(
        self,
        network: DiTNetwork | PromptNetwork,
        shape: tuple[int, ...],
        num_classes: int,
        vae: str,
        guided_channels: int | None = None,
    ) -> DiffusersModel:
        """The model of ``network``, with the decoder of the class ``vae``."""
        decoder = self.decoder(vae)
        config = network.transformer.config.items()
        public = sorted((key, value) for key, value in config if not key.startswith("_"))
        return DiffusersModel(
            network,
            self.name,
            shape,
            num_classes,
            settings=(public, shape, network.settings, decoder and decoder.fingerprint),
            features=self.features,
            decode=decoder,
            guided_channels=guided_channels,
        )

    def noise_model(self, model: DiffusersModel) -> ConvertedModel:
        """The velocity of a model that predicts the noise, along the path of the ``scheduler``."""
        return ConvertedModel(model, "noise", ddpm_path(load_alphas_cumprod(self.path())))
