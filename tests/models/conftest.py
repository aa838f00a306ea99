"""Tiny random pipelines of diffusers, one of each family, in memory and in folders."""

import pytest
import torch
from safetensors.torch import save_file

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
}
CLASSES = {
    "dit": ("DiTPipeline", "DiTTransformer2DModel"),
    "sd3": ("StableDiffusion3Pipeline", "SD3Transformer2DModel"),
    "flux": ("FluxPipeline", "FluxTransformer2DModel"),
    "pixart": ("PixArtAlphaPipeline", "PixArtTransformer2DModel"),
    "sana": ("SanaPipeline", "SanaTransformer2DModel"),
}
TEXT = {
    "sd3": [
        f"{part}{number}" for part in ("text_encoder", "tokenizer") for number in ("", "_2", "_3")
    ],
    "flux": ["text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"],
    "pixart": ["text_encoder", "tokenizer"],
    "sana": ["text_encoder", "tokenizer"],
    "dit": [],
}
NOISE = ("dit", "pixart")


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
    )


def build_pipeline(family, seed=0, **config):
    diffusers = pytest.importorskip("diffusers")
    outer, inner = (getattr(diffusers, name) for name in CLASSES[family])
    parts = {
        "transformer": randomised(inner(**CONFIGS[family] | config), seed),
        "vae": autoencoder(family),
        "scheduler": scheduler(family),
    }
    built = outer(**parts, **dict.fromkeys(TEXT[family]))
    built.set_progress_bar_config(disable=True)
    return built


def prompt_rows(family, rows=4):
    """A file's tensors: three prompts of unequal length and the null one."""
    generator = torch.Generator().manual_seed(7)
    found = {"prompt_embeds": torch.randn(rows, LENGTH, WIDTH, generator=generator)}
    if family in ("sd3", "flux"):
        found["pooled_prompt_embeds"] = torch.randn(rows, POOLED, generator=generator)
    else:
        lengths = torch.arange(rows, 0, -1)[:, None]
        found["prompt_attention_mask"] = (torch.arange(LENGTH) < lengths).long()
    return found


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
