import json
from importlib.resources import files

import pytest
import torch

from dss_ray.errors import UsageError
from dss_ray.solver.published import published_names, published_table
from dss_ray.solver.sampling import sample
from dss_ray.solver.vp import vp_time

PRINTED = json.loads(files("dss_ray.solver").joinpath("published_solvers.json").read_text())
FAMILY = {
    "flow-dcn": "flow-searched-on-flowdcn-b",
    "flow-sit": "flow-searched-on-sit-xl",
    "vp-dit": "vp-searched-on-dit-xl",
}
FLOW = [name for name in published_names() if name.startswith("flow")]
VP = [name for name in published_names() if name.startswith("vp")]


def printed(name):
    family, _, steps = name.rpartition("-")
    solvers = PRINTED["families"][FAMILY[family]]["solvers"]
    (entry,) = [solver for solver in solvers if solver["steps"] == int(steps)]
    return (
        torch.tensor(entry["time_deltas"], dtype=torch.float64),
        torch.tensor(entry["lower_coefficients"], dtype=torch.float64),
    )


def bend(x, t):
    return torch.tanh(2 * x + t)


def test_all_nineteen_solvers_are_there():
    assert len(published_names()) == 19 and len(FLOW) == 13 and len(VP) == 6
    expected = sum(len(family["solvers"]) for family in PRINTED["families"].values())
    assert len(set(published_names())) == expected


@pytest.mark.parametrize("name", published_names())
def test_query_count_is_the_one_in_the_name(name):
    assert published_table(name).nfe == int(name.rpartition("-")[2])


@pytest.mark.parametrize("name", FLOW)
def test_flow_tables_carry_the_printed_digits(name):
    deltas, lower = printed(name)
    table = published_table(name)
    steps = table.knots.diff()
    # The printed deltas sum to one up to 2e-4: renormalising moves each by that share of itself.
    assert ((steps - deltas).abs() <= 2.1e-4 * deltas).all()
    assert (table.knots[0].item(), table.knots[-1].item()) == (0, 1)
    rows = torch.cat([table.weights[:1], table.weights.diff(dim=0)]) / steps[:, None]
    torch.testing.assert_close(rows.tril(-1), lower, rtol=0, atol=1e-11)
    torch.testing.assert_close(rows.sum(1), torch.ones_like(steps), rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", VP)
def test_vp_knots_count_down_from_the_printed_start(name):
    deltas, _ = printed(name)
    expected = 0.999 - torch.cat([deltas.new_zeros(1), deltas.cumsum(0) / deltas.sum()])
    assert expected[-1] < 0  # which is why it is clamped
    times = vp_time(published_table(name).knots)
    torch.testing.assert_close(times[:-1], expected[:-1], rtol=0, atol=1e-12)
    assert times[-1].item() == pytest.approx(0.001, abs=1e-12)


@pytest.mark.parametrize("name", VP)
def test_vp_tables_equal_the_papers_sampler(name):
    """x / sigma moves by the step of omega = alpha / sigma times the mixed data predictions."""
    deltas, lower = printed(name)
    time = 0.999 - torch.cat([deltas.new_zeros(1), deltas.cumsum(0) / deltas.sum()])
    time = time.clamp(min=0.001)
    alpha = torch.exp(-(time**2) * 19.9 / 4 - time * 0.1 / 2)
    sigma = (1 - alpha**2).sqrt()
    scale, omega = alpha + sigma, alpha / sigma
    start = torch.linspace(-2, 2, 9).double()
    x, seen = start, []
    for i, row in enumerate(lower):
        seen.append(bend(x / scale[i], alpha[i] / scale[i]))
        mixed = (1 - row.sum()) * seen[i] + sum(row[j] * seen[j] for j in range(i))
        x = sigma[i + 1] * (x / sigma[i] + (omega[i + 1] - omega[i]) * mixed)
    end = sample(
        lambda z, t, _: (bend(z, t) - z) / (1 - t), published_table(name), start / scale[0]
    )
    torch.testing.assert_close(end * scale[-1], x, rtol=0, atol=1e-10)


def test_unknown_name_lists_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'flow-sit-5'"):
        published_table("flow-sitt-5")
