"""What an exported file says of its solver, as text that cannot be taken for code."""

from textwrap import fill

from dss_ray.bundle import Bundle, Measured, content_hash

WIDTH, LABEL = 96, 12  # columns of the text, and of the labels before it
LONGEST = 100  # characters of a text that a bundle brings along


def plain(text: str) -> str:
    """``text`` in one line that ends no string and starts no code, cut where it is long."""
    kept = (c if c.isprintable() and c not in "\"'\\" else "?" for c in text)
    return "".join(kept)[:LONGEST]


def summary(bundle: Bundle) -> str:
    """The solver in half a sentence."""
    model = f" for {plain(bundle.model)}" if bundle.model else ""
    return f"{plain(bundle.name)}: a solver of {bundle.table.nfe} steps{model}"


def facts(bundle: Bundle) -> str:
    """What the solver is, where it comes from and what it was measured to do."""
    scales = bundle.guidance if isinstance(bundle.guidance, tuple) else (bundle.guidance,)
    made = f"{bundle.created:%Y-%m-%d} by dss_ray {plain(bundle.versions.get('dss_ray', '-'))}"
    rows = {
        "steps": f"{bundle.table.nfe} network queries a sample (NFE)",
        "guidance": ", ".join(f"{scale:g}" for scale in scales),
        "model": model_text(bundle),
        "search": search_text(bundle),
        "figures": ", ".join(figure_text(*item) for item in bundle.metrics.items()) or "none",
        "made": made + (", changed by hand since" if bundle.edited else ""),
        "bundle": content_hash(bundle),
    }
    return "\n".join(
        fill(
            label.ljust(LABEL) + text,
            WIDTH,
            initial_indent="    ",
            subsequent_indent=" " * (4 + LABEL),
            break_on_hyphens=False,
        )
        for label, text in rows.items()
    )


def model_text(bundle: Bundle) -> str:
    """The model that the solver was searched on, and what its network predicts on which path."""
    if not bundle.model:
        return "any"
    text = f"{plain(bundle.model)} (weights {plain(bundle.model_fingerprint)[:12]})"
    own = bundle.conventions.model
    if own is None:
        return text
    return (
        f"{text}: predicts the {own.prediction}, path {plain(own.path).partition(' ')[0]}; x_0 is "
        f"{own.noise_scale:.9g} times standard normal noise"
    )


def search_text(bundle: Bundle) -> str:
    """How the solver was found."""
    found, sweep = bundle.search, bundle.sweep
    if found is None:
        return "none, it is known by its name"
    text = (
        f"{plain(found.method)} from {plain(found.start)} on the grid {plain(found.grid)}, seed "
        f"{found.seed}, {found.samples} samples"
    )
    return text + (f"; sweep {plain(sweep.name)}, trial {plain(sweep.key)}" if sweep else "")


def figure_text(name: str, figure: Measured) -> str:
    """A figure with its spread over seeds."""
    spread = "" if figure.spread is None else f" ± {figure.spread:.3g}"
    chosen = " on the seeds that chose it" if figure.domain == "selection" else ""
    return f"{plain(name)} {figure.mean:.4g}{spread}{chosen}"
