"""The verbs of the package as functions: load, search, sample, evaluate."""

from dss_ray.api.fitting import DOMAIN, guide_by, span
from dss_ray.api.measuring import Evaluated, evaluate, evaluate_part, summary
from dss_ray.api.sampling import sample, teacher_images
from dss_ray.api.searching import frechet_target, search, search_journal
from dss_ray.api.solvers import load_solver, named_bundle
from dss_ray.models.zoo import load_model

__all__ = [
    "DOMAIN",
    "Evaluated",
    "evaluate",
    "evaluate_part",
    "frechet_target",
    "guide_by",
    "load_model",
    "load_solver",
    "named_bundle",
    "sample",
    "search",
    "search_journal",
    "span",
    "summary",
    "teacher_images",
]
