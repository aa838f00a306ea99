"""Pipelines of diffusers in local folders as velocity models: DiT, SD3, Flux, PixArt and Sana."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from dss_ray.errors import UsageError
from dss_ray.models.conventions import ConvertedModel
from dss_ray.models.diffusers_flux import GUIDANCE, FluxNetwork
from dss_ray.models.diffusers_networks import PROMPTED, DiffusersModel, DiTNetwork, PromptNetwork
from dss_ray.models.diffusers_pipeline import Pipeline
from dss_ray.models.official import GUIDED_CHANNELS
from dss_ray.models.prompts import EMBEDS

MOST_TOKENS = 4096  # on a side; more than any model of today sees
Model = DiffusersModel | ConvertedModel


def dit(
    *,
    folder: str | None = None,
    official_times: bool = True,
    dtype: str = "float32",
    features: str | None = None,
    decode: bool = True,
) -> ConvertedModel:
    """The velocity of a DiTTransformer2DModel, which predicts the noise, on ImageNet latents.

    Args:
        folder: the pipeline's, with ``transformer`` and ``scheduler``.
        official_times: take the network for the official one that was converted: its own time
            embedding, and guidance of three channels, as the official sampler does. False gives
            what diffusers' own pipeline computes: another embedding, which takes such a network
            0.2 off, and guidance of all channels.
        dtype: of the weights, "float32", "bfloat16" or "float16".
        features: name of the extractor that judges the images.
        decode: whether the folder's ``vae``, where there is one, makes images of states.

    Raises:
        UsageError: if an option is missing or wrong, or diffusers is not installed.
        FileError: if a part of the folder is missing, corrupt, or of another model.
    """
    pipeline = Pipeline("diffusers-dit", folder, dtype, features, decode)
    transformer = pipeline.transformer("DiTTransformer2DModel")
    config = transformer.config
    network = DiTNetwork(transformer, official_times)
    shape = (config.in_channels, config.sample_size, config.sample_size)
    guided = GUIDED_CHANNELS["dit"] if official_times else None
    model = pipeline.model(network, shape, config.num_embeds_ada_norm, "AutoencoderKL", guided)
    return pipeline.noise_model(model)


def prompted(
    family: str,
    *,
    folder: str | None = None,
    prompts: str | None = None,
    height: int | None = None,
    width: int | None = None,
    dtype: str = "float32",
    features: str | None = None,
    decode: bool = True,
) -> Model:
    """The velocity of a text-to-image transformer; its labels are the prompts of a file.

    SD3 and Sana predict the velocity, at any t in [0, 1]; PixArt predicts the noise at the indices
    of its scheduler's betas.

    Args:
        family: "sd3", "pixart" or "sana"; ``flux`` takes one option more.
        folder: the pipeline's, with ``transformer`` and, for PixArt, ``scheduler``.
        prompts: the file of prompts, see ``read_prompts``.
        height: of the latents, in their pixels; None is the side the transformer was trained on.
        width: likewise.
        dtype: of the weights, "float32", "bfloat16" or "float16".
        features: name of the extractor that judges the images.
        decode: whether the folder's ``vae``, where there is one, makes images of states.

    Raises:
        UsageError: if an option is missing or wrong, or diffusers is not installed.
        FileError: if a part of the folder is missing, corrupt, or of another model.
    """
    pipeline = Pipeline(f"diffusers-{family}", folder, dtype, features, decode)
    return assemble(pipeline, prompts, (height, width), PROMPTED[family], PROMPTED[family])


def flux(
    *,
    folder: str | None = None,
    prompts: str | None = None,
    guidance: float = GUIDANCE,
    height: int | None = None,
    width: int | None = None,
    dtype: str = "float32",
    features: str | None = None,
    decode: bool = True,
) -> Model:
    """The velocity of a FluxTransformer2DModel; see ``prompted`` for the options of all.

    Args:
        folder: the pipeline's.
        prompts: the file of prompts.
        guidance: the scale that a guidance-distilled transformer (dev) is told; others (schnell)
            are told none. It is no classifier-free guidance and costs no second evaluation.
        height: of the latents, in their pixels, even; None is 128.
        width: likewise.
        dtype: of the weights.
        features: name of the extractor that judges the images.
        decode: whether the folder's ``vae`` makes images of states.

    Raises:
        UsageError: as ``prompted`` does, and if the guidance is no number.
        FileError: as ``prompted`` does.
    """
    if not isinstance(guidance, int | float):
        raise UsageError(f"model 'diffusers-flux': guidance must be a number, got '{guidance}'")
    pipeline = Pipeline("diffusers-flux", folder, dtype, features, decode)
    make = partial(FluxNetwork, guidance=guidance)
    return assemble(pipeline, prompts, (height, width), FluxNetwork, make)


def assemble(
    pipeline: Pipeline,
    prompts: str | None,
    size: tuple[int | None, int | None],
    network: type[PromptNetwork],
    make: Callable[[Any, dict[str, Tensor]], PromptNetwork],
) -> Model:
    """The model of a pipeline's transformer, in ``network``, with a file of prompts."""
    transformer = pipeline.transformer(network.kind)
    rows = pipeline.prompts(prompts, network.widths(transformer.config))
    shape = latent_shape(pipeline.name, network, transformer.config, size)
    model = pipeline.model(make(transformer, rows), shape, len(rows[EMBEDS]) - 1, network.vae)
    return pipeline.noise_model(model) if network.noise else model


def latent_shape(
    name: str, network: type[PromptNetwork], config: Any, size: tuple[int | None, int | None]
) -> tuple[int, ...]:
    """Channels, height and width of the latents, or UsageError where none can be of that size."""
    channels, usual, multiple = network.latents(config)
    sides = [usual if side is None else side for side in size]
    largest = multiple * (config.get("pos_embed_max_size") or MOST_TOKENS)
    if any(side not in range(multiple, largest + 1, multiple) for side in sides):
        raise UsageError(
            f"model '{name}': height and width are in pixels of the latents, multiples of "
            f"{multiple} up to {largest}, got {sides[0]} and {sides[1]}; an image has 8 times as "
            "many (Sana's 32 times)"
        )
    return (channels, *sides)


DIFFUSERS: dict[str, Callable[..., Any]] = {
    "diffusers-dit": dit,
    "diffusers-sd3": partial(prompted, "sd3"),
    "diffusers-flux": flux,
    "diffusers-pixart": partial(prompted, "pixart"),
    "diffusers-sana": partial(prompted, "sana"),
}
