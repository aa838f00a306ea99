"""SUMMARY.

FACTS

A node of ComfyUI. Put this file into its folder custom_nodes and start it again; the node is called

    DISPLAY

and stands under sampling/custom_sampling. Give it the model, and connect both of its outputs to
SamplerCustom or SamplerCustomAdvanced. Set cfg to the guidance above, and denoise an empty latent:
the solver begins at noise alone. Other sigmas than the node's are refused.
"""

from typing import Any

from torch import Tensor

from dss_ray.export.templates.k_diffusion import NAME, edm_sigmas, flow_sigmas, sample_dss

NODE = "dss_euler_1"
DISPLAY = "euler-1"
ABOUT = __doc__


class Solver:
    """Offers the solver as a SAMPLER, and its SIGMAS in the convention of the model."""

    DESCRIPTION = ABOUT
    CATEGORY = "sampling/custom_sampling"
    RETURN_TYPES = ("SAMPLER", "SIGMAS")
    FUNCTION = "solver"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 - ComfyUI's name
        """The model that is to be sampled."""
        return {"required": {"model": ("MODEL",)}}

    def solver(self, model: Any) -> tuple[Any, Tensor]:
        """Sampler and sigmas for ``model``.

        Raises:
            ValueError: if the solver starts at more noise than the model knows.
        """
        from comfy.model_sampling import CONST
        from comfy.samplers import KSAMPLER

        sampling = model.get_model_object("model_sampling")
        sigmas = flow_sigmas() if isinstance(sampling, CONST) else edm_sigmas()
        first, most = float(sigmas[0]), float(sampling.sigma_max)
        if first > 1.001 * most:
            raise ValueError(
                f"{NAME} starts at sigma {first:g}, but this model knows {most:g} at most; take a "
                "solver that was searched on it"
            )
        if first > most / 1.001:  # the model's own end, where ComfyUI scales the noise as VP does
            sigmas[0] = most
        return KSAMPLER(sample_dss), sigmas.float()


NODE_CLASS_MAPPINGS = {NODE: Solver}
NODE_DISPLAY_NAME_MAPPINGS = {NODE: DISPLAY}
