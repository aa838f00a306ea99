"""Tiny pipelines with exported schedulers, and the package's own loop over the same networks."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch

from dss_ray.bundle import Bundle, software_versions
from dss_ray.export.diffusers_scheduler import TableScheduler
from dss_ray.export.scheduler_folder import export_diffusers
from dss_ray.models.conventions import ConvertedModel, circle, ddpm_path
from dss_ray.models.guidance import guide
from dss_ray.models.zoo import load_model
from dss_ray.solver.classical import classical_table
from dss_ray.solver.sampling import sample
from dss_ray.solver.table import SolverTable

STEPS, SIDE, SCALE, CLASSES = 4, 8, 3.0, [3, 500, 999]


class Unet:
    """A tiny Stable Diffusion as a predictor of the noise; labels are prompts, the last null."""

    name, sample_shape, num_classes, fingerprint = "sd", (4, SIDE, SIDE), 3, "random"

    def __init__(self, unet, rows):
        self.unet, self.rows = unet, rows

    def __call__(self, x, t, label):
        own = x.to(self.unet.dtype)
        return self.unet(own, t, self.rows[label].to(own), return_dict=False)[0].to(x)


class VModel:
    """A network of v = a noise - s data on a path, from the definition."""

    name, sample_shape, num_classes, fingerprint = "sd-v", (4, SIDE, SIDE), 3, "random"

    def __init__(self, network, path):
        self.network, self.path = network, path
        self.t_min, self.t_max = path.t_min, path.t_max

    def __call__(self, x, t, label):
        a, s = (scale.to(x) for scale in circle(t.double()))
        own = (a + s) * x
        predicted = self.network(own, self.path.own_time(t.double().expand(len(x))).to(x), label)
        return (a * own - s * predicted) - (s * own + a * predicted)

    def noise_scale(self, t):
        a, s = circle(torch.tensor(t, dtype=torch.float64))
        return float(1 / (a + s))

    def data_scale(self, t):
        a, s = circle(torch.tensor(t, dtype=torch.float64))
        return float(a + s)


def free_table(first, last, nfe=STEPS):
    """A table as the whole space has it: queries between the knots, free rows, its own end."""
    generator = torch.Generator().manual_seed(3)
    spread = torch.randn(nfe + 1, nfe, dtype=torch.float64, generator=generator)
    knots = first + (last - first) * torch.linspace(0, 1, nfe + 1, dtype=torch.float64) ** 1.2
    base = classical_table("ab2", knots)
    weights = base.weights + 0.03 * spread[1:].tril()
    return SolverTable(
        knots[:-1] + 0.2 * knots.diff(), base.start + 0.02 * spread[0], weights, knots, free=True
    )


def as_bundle(table, guidance=SCALE):
    return Bundle(
        name="found",
        table=table,
        guidance=guidance,
        model="some-model",
        model_fingerprint="ab",
        search=None,
        metrics={},
        versions=software_versions(),
        created=datetime(2026, 11, 1, tzinfo=UTC),
    )


@dataclass
class Case:
    """A tiny pipeline and the package's model of its network, on the same noise.

    Args:
        family: of ``FAMILIES``.
        pipeline: with the scheduler that it came with, until another one is set.
        model: the package's.
        start: standard normal latents; those that DiT's pipeline draws with seed 1.
        draw: samples the pipeline.
        call: the arguments with which that is done, but for the generator of DiT.
        folder: holds the scheduler that it came with.
    """

    family: str
    pipeline: Any
    model: Any
    start: torch.Tensor
    draw: Callable[[], torch.Tensor]
    call: dict[str, Any]
    folder: Path

    def own(self, table: SolverTable) -> torch.Tensor:
        """What the package's loop makes of the noise, in the pipeline's own scale.

        The states are float64, as in a search: rounded to float32, query times would move the
        network's own by what it sees, up to 6e-5 of an index.
        """
        model, first, last = self.model, float(table.knots[0]), float(table.knots[-1])
        label = torch.tensor(CLASSES) if self.family == "dit" else torch.arange(3)
        diffusion = hasattr(model, "noise_scale")
        start = self.start.double() * (model.noise_scale(first) if diffusion else 1)
        with torch.no_grad():
            end = sample(guide(model, SCALE), table, start, label)
        return end * model.data_scale(last) if diffusion else end

    def table(self, last: float | None = None) -> SolverTable:
        """A free table from the first time that the model knows to its last, or another one."""
        return free_table(self.model.t_min, self.model.t_max if last is None else last)

    def export(self, table: SolverTable, **options: Any) -> Path:
        """The scheduler folder of a table for this pipeline."""
        place = self.folder.with_name(f"exported-{len(list(self.folder.parent.iterdir()))}")
        return export_diffusers(as_bundle(table), place, pipeline=str(self.folder), **options)

    def exported(self, table: SolverTable) -> torch.Tensor:
        """What the pipeline makes of the noise with the exported scheduler."""
        self.pipeline.scheduler = TableScheduler.from_pretrained(self.export(table))
        return self.draw()


@pytest.fixture
def case(tiny_pipeline, saved, embeddings, prompt_call, prompted_latents, class_latents, tmp_path):
    """Makes the case of a family, in float32 or float64."""

    def make(family, dtype=torch.float32):
        kind = family.removesuffix("-v")
        pipeline = tiny_pipeline(kind)
        if family == "sd-v":
            pipeline.scheduler.register_to_config(prediction_type="v_prediction")
        pipeline.scheduler.save_pretrained(tmp_path / family / "scheduler")
        if kind == "sd":
            network = Unet(pipeline.unet, embeddings("sd")["prompt_embeds"])
            path = ddpm_path(pipeline.scheduler.alphas_cumprod)
            v = family == "sd-v"
            model = VModel(network, path) if v else ConvertedModel(network, "noise", path)
        else:
            model = load_model(saved[family] + "&official_times=false" * (family == "dit"))
            model = model.to(dtype)
        for part in pipeline.components.values():
            if isinstance(part, torch.nn.Module):
                torch.nn.Module.to(part, dtype)  # diffusers' own would warn
        generator = torch.Generator().manual_seed(1)
        start = torch.randn(3, 4, SIDE, SIDE, generator=generator, dtype=dtype)

        def draw():
            if family == "dit":
                return class_latents(pipeline, SCALE, STEPS)[0]
            return prompted_latents(pipeline, kind, start, SCALE, STEPS)

        if family == "dit":
            call = {"class_labels": CLASSES, "guidance_scale": SCALE}
            call |= {"num_inference_steps": STEPS, "output_type": "pt"}
        else:
            call = prompt_call(pipeline, kind, start, SCALE, STEPS)
        return Case(family, pipeline, model, start, draw, call, tmp_path / family / "scheduler")

    return make


@pytest.fixture
def found():
    """Makes tables as searches of the whole space find them, from a first to a last time."""
    return free_table


@pytest.fixture
def bundle():
    """Makes the bundle of a table."""
    return as_bundle
