"""Prompts as conditions: a file of embeddings that labels index, the last row being the null one.

``python -m dss_ray.models.prompts FOLDER PROMPTS.txt -o prompts.safetensors`` makes it once, with
the text encoders of the pipeline in FOLDER, from a text file of one prompt a line.
"""

import argparse
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dss_ray.errors import DssError, FileError, UsageError, require_known
from dss_ray.models import checkpoint
from dss_ray.models.diffusers_folder import load_text_pipeline
from dss_ray.models.foreign import read_weights

EMBEDS, POOLED, MASK = "prompt_embeds", "pooled_prompt_embeds", "prompt_attention_mask"
CALLED = ("max_sequence_length", "clean_caption", "complex_human_instruction")
RETURNED = {  # where a pipeline's encode_prompt returns what
    "StableDiffusion3Pipeline": {EMBEDS: 0, POOLED: 2},
    "FluxPipeline": {EMBEDS: 0, POOLED: 1},
    "PixArtAlphaPipeline": {EMBEDS: 0, MASK: 1},
    "PixArtSigmaPipeline": {EMBEDS: 0, MASK: 1},
    "SanaPipeline": {EMBEDS: 0, MASK: 1},
}
ONLY_PROMPTS = "complex_human_instruction"  # Sana puts it before prompts, not before the null one
COMMAND = "python -m dss_ray.models.prompts FOLDER PROMPTS.txt -o FILE"


def read_prompts(path: str, widths: Mapping[str, int]) -> dict[str, Tensor]:
    """The embeddings of P prompts and, last, of the null prompt.

    Args:
        path: a file that ``write_prompts`` made, or any of that layout: ``prompt_embeds``
            (P + 1, L, D) and, where the model takes them, ``pooled_prompt_embeds`` (P + 1, D') and
            ``prompt_attention_mask`` (P + 1, L).
        widths: the tensors that the model takes, each with its last dimension, 0 for the mask.

    Raises:
        FileError: if the file is missing or corrupt, or holds other tensors.
    """
    if not Path(path).is_file():
        raise FileError(f"{path}: expected a file of prompts, found none; make it with '{COMMAND}'")
    found = read_weights(Path(path))
    shapes = {name: tuple(tensor.shape) for name, tensor in found.items()}
    rows, length, *_ = (*shapes.get(EMBEDS, ()), 0, 0)
    if shapes != layout(widths, rows, length) or rows < 2:
        raise FileError(
            f"{path}: expected {described(layout(widths, 'P+1', 'L'))} for P prompts and the null "
            f"one, found {described(shapes)}; make it with '{COMMAND}' from this model's folder"
        )
    return found


def layout(widths: Mapping[str, int], rows: object, length: object) -> dict[str, tuple[Any, ...]]:
    """The shapes of the tensors in a file of prompts, by name."""
    shapes = {
        EMBEDS: (rows, length, widths[EMBEDS]),
        POOLED: (rows, widths.get(POOLED)),
        MASK: (rows, length),
    }
    return {name: shapes[name] for name in widths}


def described(shapes: Mapping[str, tuple[Any, ...]]) -> str:
    """Names and shapes in a line."""
    each = [f"{name} ({', '.join(map(str, shape))})" for name, shape in shapes.items()]
    return " and ".join(each) or "nothing"


def encode(pipeline: Any, prompts: Sequence[str]) -> dict[str, Tensor]:
    """The tensors of a file of prompts, as the pipeline itself would encode each of them.

    Args:
        pipeline: a diffusers pipeline among ``RETURNED`` with its text encoders.
        prompts: the P prompts; the empty one is added to the end.

    Raises:
        UsageError: if the pipeline is none of those, or there are no prompts.
    """
    kind = type(pipeline).__name__
    require_known("pipeline", kind, RETURNED)
    if not prompts:
        raise UsageError("prompts: expected at least one, found none; write one a line")
    settings = encoding_settings(pipeline)
    with torch.no_grad():
        rows = [pipeline.encode_prompt([prompt], **settings) for prompt in prompts]
        settings.pop(ONLY_PROMPTS, None)
        rows.append(pipeline.encode_prompt([""], **settings))
    return {
        name: torch.cat([row[place] for row in rows]).cpu()
        for name, place in RETURNED[kind].items()
    }


def encoding_settings(pipeline: Any) -> dict[str, Any]:
    """What the pipeline's own call hands to its ``encode_prompt``, without guidance."""
    taken = inspect.signature(pipeline.encode_prompt).parameters
    called = inspect.signature(type(pipeline).__call__).parameters
    settings = {name: called[name].default for name in CALLED if name in called}
    settings |= {"prompt_2": None, "prompt_3": None, "do_classifier_free_guidance": False}
    return {name: value for name, value in settings.items() if name in taken}


def write_prompts(pipeline: Any, prompts: Sequence[str], path: str) -> None:
    """Write the file that ``read_prompts`` reads, with the prompts' text in its metadata."""
    document = {"pipeline": type(pipeline).__name__, "prompts": list(prompts)}
    checkpoint.write(Path(path), encode(pipeline, prompts), document)


def read_lines(path: str) -> list[str]:
    """The lines of a text file that are not blank."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise FileError(f"{path}: expected a text file of prompts, one a line ({error})") from None
    return [line.strip() for line in lines if line.strip()]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command that the module's docstring shows."""
    parser = argparse.ArgumentParser(prog="python -m dss_ray.models.prompts", description=__doc__)
    parser.add_argument("folder", help="of the pipeline, as save_pretrained writes it")
    parser.add_argument("prompts", help="text file of one prompt a line")
    parser.add_argument("-o", "--out", required=True, help="safetensors file to write")
    parser.add_argument("--device", default="cpu", help="where the text encoders run")
    given = parser.parse_args(arguments)
    try:
        prompts = read_lines(given.prompts)
        write_prompts(load_text_pipeline(given.folder).to(given.device), prompts, given.out)
    except DssError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
