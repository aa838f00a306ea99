"""Transformers of diffusers against their own pipelines, all tiny and random."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from dss_ray.models.diffusers_networks import DiTNetwork
from dss_ray.models.guidance import guide
from dss_ray.models.protocol import VelocityModel
from dss_ray.models.sit import SiT, SiTSettings, position_embedding
from dss_ray.models.zoo import load_model
from dss_ray.solver.classical import classical_table
from dss_ray.solver.sampling import sample

pytest.importorskip("diffusers")

STEPS, SIDE = 4, 8
PROMPTED = ("sd3", "flux", "sana", "pixart")
FAMILIES = (*PROMPTED, "dit")


def noise(width=SIDE):
    return torch.randn(3, 4, SIDE, width, generator=torch.Generator().manual_seed(1))


def ours(model, scale, knots, label, start):
    """The package's loop with Euler; float64 states, as in a search."""
    start = start.double()
    start = start * model.noise_scale(float(knots[0])) if hasattr(model, "noise_scale") else start
    with torch.no_grad():
        end = sample(guide(model, scale), classical_table("euler", knots), start, label)
    scaled = model.data_scale(float(knots[-1])) * end if hasattr(model, "data_scale") else end
    return scaled.float(), end


def ddim_knots(pipeline, model):
    """Frame times of the indices 999, 749, 499, 249 and 0."""
    alphas = pipeline.scheduler.alphas_cumprod[[999, 749, 499, 249, 0]].double()
    a, s = alphas.sqrt(), (1 - alphas).sqrt()
    return (a / (a + s)).clamp(model.t_min, model.t_max)


@pytest.mark.parametrize("width", [SIDE, 2 * SIDE])
@pytest.mark.parametrize("scale", [1.0, 3.0])
@pytest.mark.parametrize("family", PROMPTED)
def test_prompts_sample_what_their_own_pipelines_do(
    saved, tiny_pipeline, prompted_latents, family, scale, width
):
    """Flows with the Euler scheduler, PixArt with DDIM."""
    own, start = tiny_pipeline(family), noise(width)
    expected = prompted_latents(own, family, start, scale, STEPS)
    model = load_model(saved[family], width=width)
    knots = ddim_knots(own, model) if family == "pixart" else 1 - own.scheduler.sigmas.double()
    found, _ = ours(model, scale, knots, torch.arange(3), start)
    assert torch.allclose(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_dit_samples_and_decodes_what_its_own_pipeline_does_with_ddim(
    saved, tiny_pipeline, class_latents, scale
):
    own = tiny_pipeline("dit")
    expected, images = class_latents(own, scale, STEPS)
    model = load_model(f"{saved['dit']}&official_times=false")
    found, end = ours(model, scale, ddim_knots(own, model), torch.tensor([3, 500, 999]), noise())
    assert torch.allclose(found, expected, rtol=0, atol=1e-5)
    with torch.no_grad():
        assert torch.allclose(model.decode(end), images, rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_models_keep_the_protocol_and_null_is_the_last_row(saved, family):
    model = load_model(saved[family])
    assert isinstance(model, VelocityModel)
    assert (model.name, model.sample_shape) == (f"diffusers-{family}", (4, SIDE, SIDE))
    assert model.num_classes == (1000 if family == "dit" else 3)
    x, label = noise().double().requires_grad_(), torch.arange(3)
    t = torch.tensor(0.45, dtype=torch.float64, requires_grad=True)
    velocity = model(x, t, label)
    assert (velocity.shape, velocity.dtype) == (x.shape, torch.float64)
    assert all(part.abs().sum() > 0 for part in torch.autograd.grad(velocity.sum(), (x, t)))
    assert torch.allclose(model(x, t.expand(3), label), velocity, atol=1e-6)
    null = model(x, t, torch.full((3,), model.num_classes))
    assert torch.equal(model(x, t, None), null)
    assert (null - velocity).abs().amax((1, 2, 3)).min() > 0.01


@pytest.mark.parametrize("family", FAMILIES)
def test_tangents_go_through_a_guided_transformer_many_at_once(saved, family):
    field, label, t = guide(load_model(saved[family]), 2.0), torch.arange(3), torch.tensor(0.45)
    x, directions = noise(), torch.randn(2, *noise().shape)

    def push(direction):
        return torch.func.jvp(lambda state: field(state, t, label), (x,), (direction,))[1]

    with sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        found = torch.func.vmap(push)(directions)
        ahead, behind = (field(x + step * directions[0], t, label) for step in (0.01, -0.01))
    assert torch.allclose(found[0], (ahead - behind) / 0.02, atol=0.02 * float(found.abs().max()))


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_take_the_type_that_is_asked_for(saved, family):
    exact, rounded = (load_model(saved[family] + more) for more in ("", "&dtype=bfloat16"))
    assert {weight.dtype for weight in rounded.parameters()} == {torch.bfloat16}
    given = noise(), torch.tensor(0.45), torch.arange(3)
    off = (rounded(*given) - exact(*given)).abs().mean()
    assert 0 < off < 0.3 * exact(*given).abs().mean()
    assert rounded(*given).dtype == torch.float32


@pytest.mark.parametrize("family", FAMILIES)
def test_states_decode_as_the_autoencoder_of_the_folder_does(saved, tiny_pipeline, family):
    model, vae = load_model(saved[family]), tiny_pipeline(family).vae
    shift = vae.config.get("shift_factor") or 0.0
    scale = model.data_scale(model.t_max) if hasattr(model, "data_scale") else 1.0
    with torch.no_grad():
        decoded = vae.decode(scale * noise() / vae.config.scaling_factor + shift).sample
        assert torch.allclose(model.decode(noise()), (decoded / 2 + 0.5).clamp(0, 1), atol=1e-6)
    assert not hasattr(load_model(f"{saved[family]}&decode=false"), "decode")


@pytest.mark.parametrize(("official", "guided"), [("true", 3), ("false", 4)])
def test_dit_is_guided_as_the_sampler_whose_network_it_is(saved, official, guided):
    model = load_model(f"{saved['dit']}&official_times={official}")
    x, t, label = noise(), torch.tensor(0.45), torch.arange(3)
    moved = (guide(model, 2.0)(x, t, label) - model(x, t, label)).abs().amax((0, 2, 3))
    assert (moved > 1e-4).tolist() == [channel < guided for channel in range(4)]


def converted(state, depth):
    """The weights of an official DiT under diffusers' names."""
    outer = {
        "x_embedder.proj": "pos_embed.proj",
        "final_layer.linear": "proj_out_2",
        "final_layer.adaLN_modulation.1": "proj_out_1",
    }
    inner = {
        "attn.proj": "attn1.to_out.0",
        "mlp.fc1": "ff.net.0.proj",
        "mlp.fc2": "ff.net.2",
        "adaLN_modulation.1": "norm1.linear",
    }
    found = {}
    for kind in ("weight", "bias"):
        found |= {f"{new}.{kind}": state[f"{old}.{kind}"] for old, new in outer.items()}
        for block in range(depth):
            old, new = f"blocks.{block}.", f"transformer_blocks.{block}."
            found |= {f"{new}{b}.{kind}": state[f"{old}{a}.{kind}"] for a, b in inner.items()}
            for part, name in zip(state[f"{old}attn.qkv.{kind}"].chunk(3), "qkv", strict=True):
                found[f"{new}attn1.to_{name}.{kind}"] = part
            for place, name in ((0, "linear_1"), (2, "linear_2")):
                time = state[f"t_embedder.mlp.{place}.{kind}"]
                found[f"{new}norm1.emb.timestep_embedder.{name}.{kind}"] = time
            table = state["y_embedder.embedding_table.weight"]
            found[f"{new}norm1.emb.class_embedder.embedding_table.weight"] = table
    return found


def test_official_times_make_a_converted_network_the_official_one(tiny_pipeline, randomise):
    official = randomise(SiT(SiTSettings(SIDE, hidden_size=32, depth=2, num_heads=2)), 3)
    official.pos_embed.data = position_embedding(SIDE // 2, 32)
    index, label = torch.tensor([900.0, 400.0, 3.0]), torch.tensor([3, 500, 1000])
    off = {}
    for corrected in (True, False):
        transformer = tiny_pipeline("dit").transformer
        transformer.load_state_dict(converted(official.state_dict(), 2))
        network = DiTNetwork(transformer, official_times=corrected)
        with torch.no_grad():
            difference = network(noise(), index, label) - official(noise(), index, label)
        off[corrected] = float(difference.abs().max())
    assert off[True] < 2e-5 < 1e-2 < off[False]
