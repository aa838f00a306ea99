"""A solver that was found on one model, made to fit another."""

from dss_ray.bundle.bundle import Bundle
from dss_ray.bundle.conventions import conventions_of
from dss_ray.models.protocol import VelocityModel
from dss_ray.solver.respan import respanned


def fitted_to(model: VelocityModel, bundle: Bundle) -> Bundle:
    """``bundle`` with its knots mapped onto the model's time range, in the model's conventions."""
    table = respanned(bundle.table, model.t_min, model.t_max)
    update = {"table": table, "conventions": conventions_of(model, table)}
    return bundle.model_copy(update=update)
