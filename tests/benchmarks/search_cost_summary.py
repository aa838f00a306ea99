"""The claims about searches, held against the rows measured so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from statistics import fmean, median, stdev

from search_cost_cells import (
    FEW,
    FEWEST,
    IMAGES,
    JUDGE,
    METHODS,
    NFES,
    STEERING,
)
from search_cost_rows import FID, FID_SEEDS, Row, Table, total

Compare = Callable[[list[Row], list[Row]], float]
Limits = dict[int, float]  # by the number of queries; infinite where nothing is claimed
RECALL = f"recall[{JUDGE}]"


def ratio(*columns: str) -> Compare:
    """The sum of columns over that of the rival."""
    return lambda rows, rivals: total(*columns)(rows) / total(*columns)(rivals)


def own(*columns: str) -> Compare:
    """The sum of columns, whatever the rival."""
    return lambda rows, _: total(*columns)(rows)


def lost(column: str) -> Compare:
    """By how much a column is lower than the rival's."""
    return lambda rows, rivals: total(column)(rivals) - total(column)(rows)


def standard_errors(rows: list[Row], rivals: list[Row]) -> float:
    """How far the FID is from the rival's, in standard errors of the paired evaluation seeds.

    The same noises raise and lower the distances of all solvers together.
    """
    differences = [
        mine - theirs for mine, theirs in zip(by_seed(rows), by_seed(rivals), strict=True)
    ]
    error = stdev(differences) / sqrt(len(differences))
    return fmean(differences) / error if error else inf


def by_seed(rows: list[Row]) -> list[float]:
    """The FID on each evaluation seed, medians over the search seeds."""
    values = [[float(value) for value in row[FID_SEEDS].split()] for row in rows]
    return [median(column) for column in zip(*values, strict=True)]


@dataclass(frozen=True)
class Claim:
    """What is claimed of a method beside a rival: a figure at or below a limit.

    Args:
        text: what people read.
        method: whose rows.
        rival: against whose; the teacher is the same at every number of queries.
        compare: rows of both to the figure.
        limits: of the figure.
        models: of which it is claimed; all where empty.
    """

    text: str
    method: str
    rival: str
    compare: Compare
    limits: Limits
    models: tuple[str, ...] = ()


def flat(limit: float = inf, nfes: Sequence[int] = NFES) -> Limits:
    """One limit at every number of queries."""
    return dict.fromkeys(nfes, limit)


def halves(few: float, many: float) -> Limits:
    """One limit up to six queries and one beyond."""
    return {nfe: few if nfe <= 6 else many for nfe in NFES}


TEACHER = ("reference_evaluations", "reference_seconds")
WITH_EVALUATIONS, WITH_SECONDS = ("evaluations", TEACHER[0]), ("seconds", TEACHER[1])
CLAIMS = (
    Claim("default / paper: rmse", "default", "paper", ratio("rmse"), halves(0.55, 0.35)),
    Claim("default / paper: evaluations with teacher", "default", "paper",
          ratio(*WITH_EVALUATIONS), flat(1 / 20)),
    Claim("default / paper: evaluations alone", "default", "paper", ratio("evaluations"), flat()),
    Claim("default / paper: seconds with teacher", "default", "paper", ratio(*WITH_SECONDS),
          flat(1 / 10)),
    Claim("default / paper: seconds alone", "default", "paper", ratio("seconds"), flat()),
    Claim("default / gradient: rmse", "default", "gradient", ratio("rmse"), halves(0.85, 0.55)),
    Claim("default / gradient-velocity: rmse", "default", "gradient-velocity", ratio("rmse"),
          halves(0.85, 0.55)),
    Claim("least-squares / paper: rmse", "least-squares", "paper", ratio("rmse"), flat(0.6)),
    Claim("least-squares: seconds with teacher", "least-squares", "least-squares",
          own(*WITH_SECONDS), flat(5.0), IMAGES),
    Claim("least-squares: seconds alone", "least-squares", "least-squares", own("seconds"),
          flat(5.0), IMAGES),
    Claim("default (whole) / velocity: rmse", "default", "velocity", ratio("rmse"),
          flat(nfes=(4, *NFES)) | {4: 0.9, 5: 0.9}),
    Claim(f"frechet / default: {FID}", "frechet", "default", ratio(FID), flat(0.8, FEWEST),
          IMAGES),
    Claim(f"frechet - default: {FID}, standard errors", "frechet", "default", standard_errors,
          flat(-2.0, FEWEST), IMAGES),
    Claim(f"frechet / teacher: {FID}", "frechet", "teacher", ratio(FID), flat(1.0, FEWEST),
          IMAGES),
    Claim(f"default - frechet: {RECALL}", "frechet", "default", lost(RECALL),
          flat(0.02, FEWEST), IMAGES),
    Claim(f"teacher - frechet: {RECALL}", "frechet", "teacher", lost(RECALL),
          flat(0.02, FEWEST), IMAGES),
    Claim(f"features / default: {FID}", "features", "default", ratio(FID), flat(nfes=FEWEST),
          IMAGES),
    Claim(f"features / teacher: {FID}", "features", "teacher", ratio(FID), flat(nfes=FEWEST),
          IMAGES),
    Claim("default / best classical: rmse", "default", "classical", ratio("rmse"),
          flat(1.0, (*FEW, *NFES))),
    Claim("default / published (flow-sit): rmse", "default", "flow-sit", ratio("rmse"), flat(1.0)),
    Claim("default / published (flow-dcn): rmse", "default", "flow-dcn", ratio("rmse"), flat(1.0)),
    Claim("default / published (vp-dit): rmse", "default", "vp-dit", ratio("rmse"), flat(1.0)),
)  # fmt: skip


def summary(table: Table, models: Sequence[str], scales: Sequence[float]) -> str:
    """The claims, then the medians of each cell, as Markdown."""
    lines = list[str]()
    for model in models:
        for guidance in scales:
            lines += [f"\n{model}, guidance {guidance:g}\n", "| claim | by queries |", "|---|---|"]
            lines += [
                f"| {claim.text} | {verdicts(claim, table, model, guidance)} |"
                for claim in CLAIMS
                if concerns(claim, model)
            ]
            lines += ["", *medians(table, model, guidance)]
    return "\n".join(lines)


def concerns(claim: Claim, model: str) -> bool:
    """Whether ``model`` can show a claim."""
    able = (METHODS[name].models for name in (claim.method, claim.rival))
    return all(model in names for names in able) and model in (claim.models or (model,))


def verdicts(claim: Claim, table: Table, model: str, guidance: float) -> str:
    """The figure at each number of queries, its limit, how many seeds, and whether it holds."""
    parts, missing = list[str](), list[str]()
    for nfe, limit in claim.limits.items():
        rows = table.rows(model, guidance, nfe, claim.method)
        rivals = table.rows(model, guidance, 0 if claim.rival == "teacher" else nfe, claim.rival)
        if not rows or not rivals:
            missing.append(str(nfe))
            continue
        figure = claim.compare(rows, rivals)
        verdict = "" if limit == inf else f" <= {limit:g} {'holds' if figure <= limit else 'FAILS'}"
        parts.append(f"N={nfe}: {figure:.3g}{verdict} ({len(rows)} to {len(rivals)} seeds)")
    return "; ".join(parts + [f"N={', '.join(missing)}: not measured"] * bool(missing))


def medians(table: Table, model: str, guidance: float) -> list[str]:
    """A Markdown table of medians over the seeds."""
    columns = ("rmse", "rmse_mean", FID, f"fid[{JUDGE}]", f"fid[{STEERING}]", RECALL, "evaluations",
               "seconds", *TEACHER)  # fmt: skip
    lines = [f"| N | method | seeds | {' | '.join(columns)} |", "|---" * (3 + len(columns)) + "|"]
    for nfe in (0, *FEW, *NFES):
        for method in METHODS:
            rows = table.rows(model, guidance, nfe, method)
            known = [[float(row[column]) for row in rows if row[column]] for column in columns]
            figures = [f"{median(values):.4g}" if values else "" for values in known]
            if rows:
                lines.append(f"| {nfe} | {method} | {len(rows)} | {' | '.join(figures)} |")
    return lines
