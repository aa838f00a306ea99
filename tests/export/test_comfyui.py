"""The node against stand-ins of ComfyUI's classes, written after its protocol."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from dss_ray.export.formats import export_comfyui
from dss_ray.solver.sampling import sample


class CONST:
    """Flows: x = (1 - sigma) data + sigma noise."""

    sigma_max = torch.tensor(1.0)

    def noise_scaling(self, sigma, noise, latent, max_denoise=False):
        return sigma * noise + (1 - sigma) * latent

    def inverse_noise_scaling(self, sigma, latent):
        return latent / (1 - sigma)


class EPS:
    """Noise predictors: x = data + sigma noise, of unit variance before scaling at the start."""

    def __init__(self, sigma_max):
        self.sigma_max = torch.tensor(sigma_max)

    def noise_scaling(self, sigma, noise, latent, max_denoise=False):
        return noise * (torch.sqrt(1 + sigma**2) if max_denoise else sigma) + latent

    def inverse_noise_scaling(self, sigma, latent):
        return latent


class KSAMPLER:
    """Scales noise, calls the sampler's function as k-diffusion does, and scales back."""

    def __init__(self, sampler_function):
        self.sampler_function = sampler_function

    def sample(self, model, sampling, sigmas, noise):
        first = float(sigmas[0])
        whole = abs(first / float(sampling.sigma_max) - 1) < 1e-5 or first > sampling.sigma_max
        x = sampling.noise_scaling(sigmas[0], noise, torch.zeros_like(noise), whole)
        seen = []
        x = self.sampler_function(
            model, x, sigmas, extra_args={"seed": 1}, callback=seen.append, disable=True
        )
        assert [step["i"] for step in seen] == list(range(len(sigmas) - 1))
        return sampling.inverse_noise_scaling(sigmas[-1], x)


@pytest.fixture
def node(bundles, tmp_path, load, monkeypatch):
    """The node of a table on a model, where ComfyUI's modules can be imported."""
    names = ModuleType("comfy"), ModuleType("comfy.model_sampling"), ModuleType("comfy.samplers")
    names[1].CONST, names[2].KSAMPLER = CONST, KSAMPLER
    for name in names:
        monkeypatch.setitem(sys.modules, name.__name__, name)

    def make(table, model):
        module = load(export_comfyui(bundles(table, model), tmp_path))
        ((_, made),) = module.NODE_CLASS_MAPPINGS.items()
        return made

    return make


def offered(node, sampling):
    """Sampler and sigmas for a model of that kind, through what the node declares of itself."""
    patcher = SimpleNamespace(get_model_object={"model_sampling": sampling}.__getitem__)
    assert node.INPUT_TYPES() == {"required": {"model": ("MODEL",)}}
    assert node.RETURN_TYPES == ("SAMPLER", "SIGMAS")
    return getattr(node(), node.FUNCTION)(model=patcher)


def denoised(model):
    """What a sampler is given of a model: its data prediction, in ComfyUI's coordinates."""

    def predict(x, sigma, seed):
        level = sigma.double()[0]
        flow = not hasattr(model, "path")
        t = 1 - level if flow else 1 / (1 + level)
        state = x if flow else t * x
        return state + (1 - t) * model(state, t, None)

    return predict


def test_the_node_draws_the_samples_of_the_packages_own_loop(node, model, tables, noise):
    table, flow = tables(model, 5, seed=3), not hasattr(model, "path")
    largest = 1.0 if flow else (1 - model.t_min) / model.t_min
    sampling = CONST() if flow else EPS(largest)
    sampler, sigmas = offered(node(table, model), sampling)
    assert sigmas.dtype == torch.float32 and len(sigmas) == 6
    drawn = sampler.sample(denoised(model), sampling, sigmas.double(), noise)
    unit = 1.0 if flow else (1 + largest**2) ** 0.5 / (1 + largest)  # VP's noise in the frame
    expected = sample(model, table, unit * noise)
    last = float(table.knots[-1])
    expected = expected if flow else expected / last
    assert (drawn - expected).abs().max() < 1e-6 * drawn.abs().max()


def test_a_models_own_largest_sigma_is_met_exactly(node, diffusion, tables):
    """There ComfyUI scales the noise of VP models as at their end, whatever was rounded."""
    largest = (1 - diffusion.t_min) / diffusion.t_min * 1.0003
    sampler, sigmas = offered(node(tables(diffusion, 3, 0), diffusion), EPS(largest))
    assert sigmas[0] == torch.tensor(largest)
    noise = torch.zeros(1, *diffusion.sample_shape)
    assert sampler.sample(denoised(diffusion), EPS(largest), sigmas, noise).isfinite().all()


def test_a_model_of_less_noise_is_refused(node, diffusion, tables):
    with pytest.raises(ValueError, match=r"this model knows 14\.6 at most"):
        offered(node(tables(diffusion, 3, 0), diffusion), EPS(14.6))


def test_nodes_of_different_solvers_have_different_names(bundles, tables, model, tmp_path, load):
    made = [bundles(tables(model, 3, seed), model) for seed in (0, 1)]
    modules = [load(export_comfyui(bundle, tmp_path)) for bundle in made]
    names = [set(module.NODE_CLASS_MAPPINGS) for module in modules]
    assert names[0].isdisjoint(names[1])
    assert names == [set(module.NODE_DISPLAY_NAME_MAPPINGS) for module in modules]
