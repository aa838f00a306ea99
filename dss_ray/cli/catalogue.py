"""The commands that list what is known: models, solvers and the schemas of files."""

from typing import Any

from dss_ray.cli import options
from dss_ray.cli.stage import stage
from dss_ray.cli.verb import Result, verb
from dss_ray.errors import require_known


@verb
def models() -> Result:
    """List the models that ship with the package."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table

    with stage("loading the models"):
        from dss_ray.models.zoo import NAMED, load_model, model_names

        rows = [model_row(load_model(name)) for name in model_names()]
    others = sorted(set(NAMED) - {row["name"] for row in rows})
    caption = (
        f"with files of yours, as in NAME?path=FILE: {', '.join(others)}\n"
        "any package.module:callable that returns a velocity model works as well"
    )
    heads = "model", "sample shape", "classes", "times", "extractor"
    table = Table(*heads, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        shape = " x ".join(map(str, row["sample_shape"]))
        times = f"{row['t_min']:.4g} to {row['t_max']:.4g}"
        classes = "-" if row["num_classes"] is None else str(row["num_classes"])
        table.add_row(row["name"], shape, classes, times, row["features"] or "-")
    return Result(rows, Group(table, caption))


def model_row(model: Any) -> dict[str, Any]:
    """What the model says of itself."""
    return {
        "name": model.name,
        "sample_shape": list(model.sample_shape),
        "num_classes": model.num_classes,
        "t_min": model.t_min,
        "t_max": model.t_max,
        "features": getattr(model, "features", None),
        "fingerprint": model.fingerprint,
    }


@verb
def solvers() -> Result:
    """List the known solvers, grids and search methods."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table

    with stage("loading the solvers"):
        from dss_ray.search.stages import METHODS
        from dss_ray.solver.classical import CLASSICAL
        from dss_ray.solver.grids import GRIDS
        from dss_ray.solver.published import published_names, published_table

    rows: list[dict[str, Any]] = [
        {"name": name, "kind": "classical", "nfe": None} for name in CLASSICAL
    ]
    rows += [
        {"name": name, "kind": "published", "nfe": published_table(name).nfe}
        for name in published_names()
    ]
    caption = f"grids: {', '.join(GRIDS)}\nsearch methods: {', '.join(METHODS)}, chained by +"
    table = Table("solver", "kind", "NFE", box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(row["name"], row["kind"], str(row["nfe"] or "--nfe"))
    return Result(rows, Group(table, caption))


@verb
def schema(kind: options.SchemaKind = "bundle") -> Result:
    """Print the JSON schema of a bundle, or of a space file for editors."""
    from dss_ray.bundle import json_schema
    from dss_ray.config.schema import space_schema

    kinds = {"bundle": json_schema, "space": space_schema}
    require_known("schema", kind, kinds)
    return Result(kinds[kind]())
