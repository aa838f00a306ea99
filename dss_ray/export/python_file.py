"""Solvers as Python files that need no part of this package: the templates with their numbers."""

import re
from collections.abc import Mapping
from importlib.resources import files
from textwrap import fill, indent

from dss_ray.bundle import LINEAR, Bundle, content_hash
from dss_ray.errors import UsageError
from dss_ray.export.facts import facts, summary
from dss_ray.export.place import identifier, stem

WIDTH = 100  # columns
LATEST = 1 - 1e-6  # time after which a denoiser's output tells nothing of the velocity
Rows = tuple[tuple[float, ...], ...]


def standalone_file(bundle: Bundle) -> str:
    """A Python file with the solver and its loop, on torch alone."""
    docstring, code = template("standalone")
    scales = bundle.guidance
    per_step = scales if isinstance(scales, tuple) else (scales,) * bundle.table.nfe
    return described(docstring, bundle) + assigned(code, constants(bundle) | {"GUIDANCE": per_step})


def k_diffusion_file(bundle: Bundle) -> str:
    """A Python file with the solver as a sampler of k-diffusion's calling convention.

    Raises:
        UsageError: if that convention cannot carry the solver.
    """
    check_denoisers(bundle, "k-diffusion")
    docstring, code = template("k_diffusion")
    return described(docstring, bundle) + assigned(code, constants(bundle))


def comfyui_file(bundle: Bundle) -> str:
    """A Python file with the solver as a node of ComfyUI, which samples as k-diffusion does.

    Raises:
        UsageError: if a sampler there cannot carry the solver.
    """
    check_denoisers(bundle, "comfyui")
    docstring, node = template("comfyui")
    _, sampler = template("k_diffusion")
    code = sampler + "\n\n" + node[node.index("NODE = ") :]  # without its imports
    name = stem(bundle)
    unique = f"dss_{identifier(name)}_{content_hash(bundle).partition(':')[2][:8]}"
    names = {"NODE": unique, "DISPLAY": name}
    return described(docstring, bundle) + assigned(code, constants(bundle) | names)


def check_denoisers(bundle: Bundle, form: str) -> None:
    """Raise UsageError unless denoisers, which ``form`` calls, can serve the solver."""
    if isinstance(bundle.guidance, tuple):
        scales = ", ".join(f"{scale:g}" for scale in bundle.guidance)
        raise UsageError(
            f"--format {form}: a sampler there has no say in guidance, but '{bundle.name}' wants "
            f"another scale at each step ({scales}); export it as standalone"
        )
    last = float(bundle.table.times[-1])
    if last > LATEST:
        raise UsageError(
            f"--format {form}: '{bundle.name}' queries the model at time {last:g}, without noise, "
            "where a denoiser tells nothing of the velocity; export it as standalone"
        )


def template(name: str) -> tuple[str, str]:
    """The docstring of a template and the code after it."""
    text = (files("dss_ray.export.templates") / f"{name}.py").read_text(encoding="utf-8")
    docstring, end, code = text.partition('\n"""\n')
    return docstring + end, re.sub(r"  # noqa: .*$", "", code, flags=re.MULTILINE)


def described(docstring: str, bundle: Bundle) -> str:
    """The docstring with what there is to say of the solver."""
    said = {"SUMMARY": summary(bundle), "FACTS": facts(bundle), "DISPLAY": stem(bundle)}
    said |= start_words(bundle)
    return re.sub("|".join(said), lambda found: said[found[0]], docstring)


def start_words(bundle: Bundle) -> dict[str, str]:
    """The sigmas of the searched model's convention, and what its noise is scaled with there."""
    own, first = bundle.conventions.model, float(bundle.table.knots[0])
    flow = first <= 0 or (own is not None and own.path == LINEAR)
    scale = "sigmas[0]" if own is None else f"{own.noise_scale / (1 if flow else first):.9g}"
    return {"SIGMAS": "flow_sigmas" if flow else "edm_sigmas", "SCALE": scale}


def constants(bundle: Bundle) -> dict[str, str | tuple[float, ...] | Rows]:
    """The numbers of the solver."""
    table = bundle.table
    rows = tuple(tuple(row[: i + 1]) for i, row in enumerate(table.weights.tolist()))
    flat = {name: tuple(getattr(table, name).tolist()) for name in ("times", "start", "knots")}
    return {"NAME": bundle.name, "WEIGHTS": rows} | {k.upper(): v for k, v in flat.items()}


def assigned(code: str, values: Mapping[str, str | tuple[float, ...] | Rows]) -> str:
    """``code`` with its constants, each in a line of its own, set to ``values``."""

    def line(found: re.Match[str]) -> str:
        name = found[1]
        return f"{name} = {literal(values[name])}" if name in values else found[0]

    return re.sub("^([A-Z]+) = .*$", line, code, flags=re.MULTILINE)


def literal(value: str | tuple[float, ...] | Rows) -> str:
    """``value`` as Python source: numbers side by side, rows below each other."""
    if isinstance(value, str):
        return repr(value)
    if isinstance(value[0], tuple):
        rows = [indent(literal(row), "    ") for row in value if isinstance(row, tuple)]
        return "(\n" + "".join(f"{row},\n" for row in rows) + ")"
    text = ", ".join(map(repr, value)) + ("," if len(value) == 1 else "")
    if len(text) <= WIDTH - 12:  # beside a name, or an indent and a comma
        return f"({text})"
    body = fill(f"{text},", WIDTH - 8, break_on_hyphens=False)
    return "(\n" + indent(body, "    ") + "\n)"
