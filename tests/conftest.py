import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
import torch
from safetensors.torch import save_file

from dss_ray.records.rows import Row

PASSWORD = "s3cr3t/w:rd"
QUOTED = "s3cr3t%2Fw%3Ard"
SLOW_MODEL = """
import time

from dss_ray import load_model


class Slow:
    name, sample_shape, num_classes = "slow", (1, 8, 8), 10
    t_min, t_max, fingerprint, features = 0.0, 1.0, "slow-1", "digits-cnn"
    guided_channels = None

    def __init__(self):
        self.model = load_model("digits-sit")

    def __call__(self, x, t, label):
        time.sleep(0.05)
        return self.model(x, t, label)
"""
TIMES = {"seconds", "reference_seconds", "network_seconds", "worker_seconds"}
PATIENCE = 300  # seconds for a server to answer on a busy machine


def make_row(key: str = "a", **values: Any) -> Row:
    kind = values.get("kind", "searched")
    base = {"status": "done", "model": "m", "nfe": 5, "kind": kind, "solver": f"{kind} {key}"}
    more = {"guidance": 1.0, "features": "digits-cnn", "samples": 100, "fid": 2.0, "rmse": 0.1}
    return Row(**({"key": key} | base | more | values))


def make_final(key: str, values: list[float], selection: float, **more: Any) -> Row:
    mean = sum(values) / len(values)
    figures = {"fid": mean, "fid_values": values, "fid_spread": 0.1, "selection_fid": selection}
    figures |= {"seeds": list(range(len(values))), "fingerprint": "w", "reference": "r"}
    return make_row(key, final=True, **(figures | more))


@pytest.fixture(scope="session")
def row():
    """Makes rows of a made-up sweep."""
    return make_row


@pytest.fixture(scope="session")
def final():
    """Makes rows that were evaluated again on fresh seeds."""
    return make_final


@pytest.fixture(scope="session")
def slow_model():
    """Writes the module of a model that takes its time, ``slow:Slow``, into a folder."""
    return lambda folder: (folder / "slow.py").write_text(SLOW_MODEL)


@pytest.fixture(scope="session")
def last_rows():
    """Reads the last row of each key of the sweep "space", without what a clock measured."""

    def read(folder: Path) -> dict[str, dict]:
        lines = (folder / "runs/space/rows.jsonl").read_text().splitlines()
        found = {row["key"]: row for row in map(json.loads, lines)}
        return {key: {k: v for k, v in row.items() if k not in TIMES} for key, row in found.items()}

    return read


def find_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Postgres:
    """A PostgreSQL server that can be stopped and started; roles need their passwords."""

    programs: Path
    data: Path
    port: int
    user: str | None

    @property
    def url(self) -> str:
        """With the password, which has characters that need quoting."""
        return f"postgresql://owner:{QUOTED}@127.0.0.1:{self.port}/postgres"

    def do(self, program: str, *options: str) -> None:
        """Run one of PostgreSQL's programs, which refuse to be root."""
        command = [str(self.programs / program), "-D", str(self.data), *options]
        subprocess.run(
            command, user=self.user, cwd=self.data.parent, check=True, capture_output=True
        )

    def start(self) -> None:
        """Until it answers."""
        options = f"-p {self.port} -k {self.data} -c listen_addresses=127.0.0.1 -c fsync=off"
        command = ["start", "-w", "-o", options, "-l", str(self.data / "log")]
        self.do("pg_ctl", *command)

    def stop(self) -> None:
        """At once, connections or not."""
        self.do("pg_ctl", "stop", "-m", "immediate")


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    return find_port()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server of its own, of the system's PostgreSQL."""
    found = shutil.which("pg_ctl")
    places = [Path(found)] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if not places:
        pytest.skip("PostgreSQL is not installed")
    data = Path(tempfile.mkdtemp(prefix="postgres-"))
    user = "nobody" if os.geteuid() == 0 else None
    if user:
        shutil.chown(data, user)
    (data / "password").write_text(PASSWORD)
    (data / "password").chmod(0o644)
    cluster = Postgres(places[-1].parent, data / "cluster", find_port(), user)
    cluster.do("initdb", "-U", "owner", "-A", "scram-sha-256", "--pwfile", str(data / "password"))
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(data)


@contextmanager
def serve_mlflow(folder: Path, port: int, backend: str) -> Iterator[str]:
    """An MLflow server with its artifacts in ``folder``; gives its address, ends at once."""
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", backend]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    lean = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment = os.environ | lean
    with (folder / "server.log").open("a") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while not answers(port):
            assert time.monotonic() < deadline
            assert process.poll() is None, (folder / "server.log").read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(port: int) -> bool:
    """Whether a server at ``port`` is well."""
    with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
        return reply.status == 200
    return False


@pytest.fixture(scope="session")
def mlflow_server():
    """Serves MLflow over HTTP."""
    return serve_mlflow


SIDE, LENGTH, WIDTH, POOLED = 8, 5, 12, 10
HEADS = {"num_layers": 2, "num_attention_heads": 2, "attention_head_dim": 16}
CONFIGS = {
    "dit": HEADS | {"sample_size": SIDE, "out_channels": 8},
    "sd3": HEADS
    | {"sample_size": SIDE, "in_channels": 4, "out_channels": 4, "pos_embed_max_size": SIDE}
    | {"joint_attention_dim": WIDTH, "caption_projection_dim": 32, "pooled_projection_dim": POOLED}
    | {"dual_attention_layers": (0,), "qk_norm": "rms_norm"},
    "flux": HEADS
    | {"in_channels": 16, "num_single_layers": 1, "axes_dims_rope": (4, 6, 6)}
    | {"joint_attention_dim": WIDTH, "pooled_projection_dim": POOLED, "guidance_embeds": True},
    "pixart": HEADS
    | {"sample_size": 128, "num_attention_heads": 3}  # the first asks for the size of the image
    | {"cross_attention_dim": 48, "caption_channels": WIDTH},
    "sana": HEADS
    | {"sample_size": SIDE, "in_channels": 4, "out_channels": 4, "caption_channels": WIDTH}
    | {"num_cross_attention_heads": 2, "cross_attention_head_dim": 16, "cross_attention_dim": 32},
    "sd": {"sample_size": SIDE, "block_out_channels": (8, 16), "layers_per_block": 1}
    | {"down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "norm_num_groups": 4}
    | {"up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "attention_head_dim": 4}
    | {"cross_attention_dim": WIDTH},
}
CLASSES = {
    "dit": ("DiTPipeline", "DiTTransformer2DModel"),
    "sd3": ("StableDiffusion3Pipeline", "SD3Transformer2DModel"),
    "flux": ("FluxPipeline", "FluxTransformer2DModel"),
    "pixart": ("PixArtAlphaPipeline", "PixArtTransformer2DModel"),
    "sana": ("SanaPipeline", "SanaTransformer2DModel"),
    "sd": ("StableDiffusionPipeline", "UNet2DConditionModel"),
}
TEXT = {
    "sd3": [
        f"{part}{number}" for part in ("text_encoder", "tokenizer") for number in ("", "_2", "_3")
    ],
    "flux": ["text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"],
    "pixart": ["text_encoder", "tokenizer"],
    "sana": ["text_encoder", "tokenizer"],
    "dit": [],
    "sd": ["text_encoder", "tokenizer", "safety_checker", "feature_extractor"],
}
NOISE = ("dit", "pixart", "sd")


def randomised(part, seed):
    """Every weight random: fresh transformers begin with layers of zeros."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in part.named_parameters():
        spread = torch.randn(weight.shape, generator=generator)
        weight.data = 1 + 0.1 * spread if "norm" in name and weight.ndim == 1 else 0.1 * spread
    return part.eval()


def autoencoder(family):
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    if family == "sana":
        blocks = {"encoder_block_out_channels": (8, 8, 8), "decoder_block_out_channels": (8, 8, 8)}
        layers = {"encoder_layers_per_block": (1, 1, 1), "decoder_layers_per_block": (1, 1, 1)}
        scales = {"encoder_qkv_multiscales": ((), (), ()), "decoder_qkv_multiscales": ((), (), ())}
        part = diffusers.AutoencoderDC(
            latent_channels=4, scaling_factor=0.4, **blocks, **layers, **scales
        )
    else:
        part = diffusers.AutoencoderKL(
            block_out_channels=(8, 8, 8, 8),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=4,
            norm_num_groups=4,
            layers_per_block=1,
            scaling_factor=0.4,
            shift_factor=0.1 if family in ("sd3", "flux") else None,
        )
    return part.eval()


def scheduler(family):
    diffusers = pytest.importorskip("diffusers")
    if family not in NOISE:
        return diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    return diffusers.DDIMScheduler(
        beta_end=0.004,  # so little noise that a random network's data keep the size of noise
        clip_sample=False,
        set_alpha_to_one=False,
        timestep_spacing="trailing",
        steps_offset=1,  # which SD asks for; it moves no trailing timesteps
    )


def build_pipeline(family, seed=0, **config):
    diffusers = pytest.importorskip("diffusers")
    outer, inner = (getattr(diffusers, name) for name in CLASSES[family])
    parts = {
        "unet" if family == "sd" else "transformer": randomised(
            inner(**CONFIGS[family] | config), seed
        ),
        "vae": autoencoder(family),
        "scheduler": scheduler(family),
    }
    unchecked = {"requires_safety_checker": False} if family == "sd" else {}
    built = outer(**parts, **dict.fromkeys(TEXT[family]), **unchecked)
    built.set_progress_bar_config(disable=True)
    return built


def prompt_rows(family, rows=4):
    """A file's tensors: three prompts of unequal length and the null one."""
    generator = torch.Generator().manual_seed(7)
    found = {"prompt_embeds": torch.randn(rows, LENGTH, WIDTH, generator=generator)}
    if family in ("sd3", "flux"):
        found["pooled_prompt_embeds"] = torch.randn(rows, POOLED, generator=generator)
    elif family != "sd":
        lengths = torch.arange(rows, 0, -1)[:, None]
        found["prompt_attention_mask"] = (torch.arange(LENGTH) < lengths).long()
    return found


def prompt_arguments(pipeline, family, start, scale, steps):
    """How to call a text-to-image pipeline for three prompts and latents (3, C, H, W)."""
    rows = {
        name: row.to(start.dtype) if row.is_floating_point() else row
        for name, row in prompt_rows(family).items()
    }
    given = {name: row[:3] for name, row in rows.items()}
    given |= {f"negative_{name}": row[-1:].expand_as(row[:3]) for name, row in rows.items()}
    height, width = (side * pipeline.vae_scale_factor for side in start.shape[-2:])
    given |= {"guidance_scale": scale, "height": height, "width": width, "latents": start}
    if family == "flux":
        start = pipeline._pack_latents(start, *start.shape)
        given |= {"guidance_scale": 3.5, "true_cfg_scale": scale, "latents": start}
    elif family in ("pixart", "sana"):
        given |= {"use_resolution_binning": False, "negative_prompt": None}
    return given | {"num_inference_steps": steps, "output_type": "latent"}


def sample_prompts(pipeline, family, start, scale, steps):
    """What the pipeline then makes of the latents."""
    given = prompt_arguments(pipeline, family, start, scale, steps)
    found = pipeline(**given).images
    if family == "flux":
        size = given["height"], given["width"]
        found = pipeline._unpack_latents(found, *size, pipeline.vae_scale_factor)
    return found


def sample_classes(pipeline, scale, steps):
    """What DiT's pipeline hands to its autoencoder, and the images it shows; seed 1."""
    caught, first = [], pipeline.vae.post_quant_conv
    hook = first.register_forward_pre_hook(lambda _, given: caught.append(given[0]))
    images = pipeline(
        [3, 500, 999],
        guidance_scale=scale,
        num_inference_steps=steps,
        generator=torch.Generator().manual_seed(1),
        output_type="pt",
    ).images
    hook.remove()
    return caught[0] * pipeline.vae.config.scaling_factor, images


@pytest.fixture
def prompted_latents():
    """Samples a text-to-image pipeline."""
    return sample_prompts


@pytest.fixture
def prompt_call():
    """The arguments with which that is done."""
    return prompt_arguments


@pytest.fixture
def class_latents():
    """Samples a pipeline of DiT."""
    return sample_classes


@pytest.fixture
def tiny_pipeline():
    """Makes a pipeline of a family; keywords change its transformer's config."""
    return build_pipeline


@pytest.fixture
def randomise():
    """Makes every weight of a network random."""
    return randomised


@pytest.fixture
def embeddings():
    """Makes the tensors of a file of prompts for a family."""
    return prompt_rows


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory):
    """Folders of the tiny pipelines by family, each with its prompts."""
    found = {}
    for family in CONFIGS:
        found[family] = tmp_path_factory.mktemp(family)
        build_pipeline(family).save_pretrained(found[family])
        if family != "dit":
            save_file(prompt_rows(family), found[family] / "prompts.safetensors")
    return found


@pytest.fixture
def saved(pipelines):
    """Their specifications by family."""
    specs = {}
    for family, folder in pipelines.items():
        specs[family] = f"diffusers-{family}?folder={folder}"
        if family != "dit":
            specs[family] += f"&prompts={folder / 'prompts.safetensors'}"
        if family in ("flux", "pixart"):
            specs[family] += f"&height={SIDE}&width={SIDE}"
    return specs
