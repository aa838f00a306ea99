"""The machinery of a descent: lean gradients, parts, clipping, averages, short floats, resuming."""

import math
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dss_ray.errors import DivergedError
from dss_ray.models.gaussian import plane
from dss_ray.models.guidance import guide
from dss_ray.models.meter import Meter
from dss_ray.models.teacher import Teacher
from dss_ray.search import descent as module
from dss_ray.search.activations import Plan, parts, plan
from dss_ray.search.adjoint import lean_steps
from dss_ray.search.descent import Descent, descend, gradient_of
from dss_ray.search.gradient import gradient
from dss_ray.search.iterate import Iterate
from dss_ray.search.journal import FileJournal
from dss_ray.search.lion import Lion
from dss_ray.search.objective import make_objective
from dss_ray.search.paper import paper_objective
from dss_ray.search.precision import in_precision
from dss_ray.search.result import SearchSettings
from dss_ray.search.space import Space, make_space
from dss_ray.solver.classical import classical_table
from dss_ray.solver.grids import make_grid


def start(nfe=4, grid="cosine"):
    return classical_table("ab2", make_grid(grid, nfe))


def adam(parameters):
    return torch.optim.Adam(parameters, lr=0.01)


def recipe(**changes):
    plain = {"stage": "test", "objective": make_objective("trajectory"), "optimizer": adam}
    plain |= {"iterations": 10, "batch_size": 8, "falling": True, "memory": 1024}
    return Descent(**plain | changes)


def gradient_at(model, batch, how, descent=None, space="whole", nfe=4):
    """The gradient at a space's start, and the evaluations it took."""
    meter, iterate = Meter(model), Iterate(make_space(space, start(nfe)), adam, False)
    gradient_of(meter, iterate, descent or recipe(), batch, how)
    return iterate.coordinates.grad, meter.evaluations


@pytest.mark.parametrize("objective", [make_objective("trajectory"), paper_objective])
@pytest.mark.parametrize("space", ["velocity", "dpmpp2m", "whole"])
def test_recomputed_gradients_are_the_kept_ones(oracle, exact_reference, space, objective):
    descent = recipe(objective=objective)
    kept, lean = (
        gradient_at(oracle, exact_reference, Plan(recompute=recompute), descent, space)[0]
        for recompute in (False, True)
    )
    torch.testing.assert_close(kept, lean, atol=0, rtol=1e-11)


def test_recomputing_costs_one_evaluation_more(oracle, reference, counted):
    cost, more = (
        gradient_at(counted, reference, Plan(recompute=recompute))[1] for recompute in (False, True)
    )
    assert (cost, more) == (3 * 4 * 256, 4 * 4 * 256)
    assert counted.samples == (1 + 2) * 4 * 256


def test_recomputed_steps_have_the_gradient_of_finite_differences(oracle, exact_reference):
    space = make_space("whole", start(3))

    def states(coordinates):
        return lean_steps(Meter(oracle), space.table(coordinates), exact_reference)

    moved = (space.coordinates + 0.01).requires_grad_()
    assert torch.autograd.gradcheck(states, moved, eps=1e-7, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "field", [lambda x, t, label: torch.ones_like(x), lambda x, *_: -x, lambda x, t, _: t + 0 * x]
)
def test_fields_that_ignore_state_or_time_are_no_trouble(exact_reference, field):
    kept, lean = (
        gradient_at(field, exact_reference, Plan(recompute=recompute))[0]
        for recompute in (False, True)
    )
    torch.testing.assert_close(kept, lean, atol=1e-14, rtol=1e-11)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("count", [2, 4, 12])
def test_the_parts_of_a_batch_have_its_gradient(oracle, exact_reference, count, recompute):
    descent = recipe(objective=make_objective("trajectory", penalty=0.3))
    whole, cost = gradient_at(oracle, exact_reference, Plan(recompute), descent)
    cut, same = gradient_at(oracle, exact_reference, Plan(recompute, count), descent)
    torch.testing.assert_close(cut, whole, atol=1e-12, rtol=1e-9)
    assert cost == same


def test_parts_are_the_batch(oracle, reference):
    cut = list(parts(reference, 4))
    time = torch.tensor(0.3).double()
    assert torch.equal(torch.cat([part.noise for part in cut]), reference.noise)
    assert torch.equal(torch.cat([part.label for part in cut]), reference.label)
    assert torch.equal(torch.cat([part.end for part in cut]), reference.end)
    assert torch.equal(torch.cat([part.at(time) for part in cut]), reference.at(time))


class Perceptron(torch.nn.Module):
    """A small network of float32: x (B, 4), t -> (B, 4)."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        layers = torch.nn.Linear(5, 512), torch.nn.Tanh(), torch.nn.Linear(512, 4)
        self.layers = torch.nn.Sequential(*layers).requires_grad_(False)

    def forward(self, x, t, label):
        return self.layers(torch.cat([x, t.expand(len(x), 1)], 1))


def noises(count):
    noise = torch.randn(count, 4, generator=torch.Generator().manual_seed(0))
    return SimpleNamespace(noise=noise, label=None, end=torch.zeros_like(noise))


def planned(nfe, memory, count):
    space, meter = make_space("velocity", start(nfe)), Meter(Perceptron())
    iterate, descent = Iterate(space, adam, False), recipe(objective=make_objective("end"))
    return plan(partial(gradient_of, meter, iterate, descent), noises(count), memory)


def test_activations_are_kept_where_they_fit_and_else_batches_are_cut():
    assert planned(4, 128, count=1024) == Plan()
    assert planned(40, 128, count=1024) == Plan(recompute=True, parts=1)
    few, many = (planned(nfe, 4, count=1024) for nfe in (4, 16))
    assert few.recompute
    assert 4 <= few.parts <= many.parts <= 2 * few.parts
    assert planned(4, 2, count=6) == Plan()


def parabola(minimum):
    """A space whose table moves with its coordinates, and an objective with a known minimum."""
    table = start(3)

    def build(coordinates):
        knots = table.knots + 0 * coordinates.sum()
        return type(table)(knots[:-1], table.start, table.weights, knots)

    return Space(torch.zeros_like(minimum), build)


class Slope:
    """An iterate's gradients given one by one."""

    def __init__(self, gradients, **how):
        self.iterate = Iterate(parabola(torch.zeros(2).double()), how.pop("optimizer", adam), False)
        self.path = []
        for gradient_ in gradients:
            self.iterate.coordinates.grad = torch.tensor(gradient_, dtype=torch.float64)
            self.iterate.losses.append(0.0)
            self.iterate.step(**{"rate": 1.0, "clip": None, "decay": 0.0} | how)
            self.path.append(self.iterate.coordinates.detach().clone())


def plain_descent(parameters):
    return torch.optim.SGD(parameters, lr=1.0)


@pytest.mark.parametrize("decay", [0.5, 0.9])
def test_the_average_is_the_weighted_mean_of_the_iterates(decay):
    gradients = [[1.0, 2.0], [-3.0, 1.0], [0.5, 0.0], [2.0, -4.0]]
    found = Slope(gradients, optimizer=plain_descent, decay=decay)
    weights = [decay ** (3 - i) for i in range(4)]
    mean = sum(w * x for w, x in zip(weights, found.path, strict=True)) / sum(weights)
    torch.testing.assert_close(found.iterate.average, mean, atol=1e-14, rtol=0)


def test_without_decay_the_average_is_the_last_iterate():
    found = Slope([[0.1, 0.2], [0.3, 1e17]], decay=0.0)
    assert torch.equal(found.iterate.average, found.path[-1])


def test_clipping_bounds_a_step_and_leaves_short_ones():
    clipped = Slope([[30.0, -40.0], [0.3, -0.4]], optimizer=plain_descent, clip=5.0)
    torch.testing.assert_close(clipped.path[0], torch.tensor([-3.0, 4.0]).double())
    moved = clipped.path[1] - clipped.path[0]
    torch.testing.assert_close(moved, torch.tensor([-0.3, 0.4]).double())


def test_the_rate_falls_on_a_half_cosine():
    rates = [recipe(iterations=4).rate(i) for i in range(5)]
    assert rates == pytest.approx([1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2, 0])
    assert Slope([[1.0, 1.0]], optimizer=plain_descent, rate=0.25).path[0][0] == -0.25
    assert recipe(falling=False).rate(3) == 1


def test_scaled_losses_skip_an_overflow_and_then_give_up():
    iterate = Iterate(parabola(torch.zeros(2).double()), plain_descent, scaled=True)

    def step(value):
        iterate.losses.append(0.0)
        iterate.coordinates.grad = None
        loss = (torch.tensor([value, 1.0]).double() * iterate.coordinates).sum()
        iterate.scaler.scale(loss).backward()
        iterate.step(1.0, 1.0, 0.0)

    step(math.inf)
    assert not iterate.coordinates.any()
    step(0.0)
    assert iterate.coordinates.tolist() == pytest.approx([0.0, -1.0], abs=1e-5)
    with pytest.raises(DivergedError, match="gradient"):
        for _ in range(40):
            step(math.inf)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("memory", [1024, 1])
def test_short_floats_descend_too(precision, memory):
    network, inside = Perceptron(), list[torch.dtype]()

    def watched(x, t, label):
        value = network(x, t, label)
        inside.append(value.dtype)
        return value

    reference = SimpleNamespace(batch=lambda index, size: noises(256))
    settings = SearchSettings(iterations=8, learning_rate=0.1, precision=precision, memory=memory)
    velocity = Meter(in_precision(watched, precision))
    losses = [loss for _, loss in gradient(velocity, reference, start(8), settings).history]
    assert set(inside) == {getattr(torch, precision)}
    assert losses[-1] < losses[0]
    exact = gradient(Meter(network), reference, start(8), SearchSettings(iterations=1))
    assert losses[0] == pytest.approx(exact.history[0][1], rel=0.02)
    assert losses[0] != exact.history[0][1]


KINDS = {
    "adam, average, clip": {"ema": 0.9, "clip": 1e-3},
    "lion": {"optimizer": lambda parameters: Lion(parameters, lr=0.01)},
    "scaled": {"scaled": True},
    "parts": {"memory": 1},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stop", [1, 7, 20])
def test_a_resumed_descent_ends_where_an_uninterrupted_one_does(
    memory, oracle, reference, monkeypatch, kind, stop
):
    monkeypatch.setattr(module, "JOURNAL_SECONDS", 0)
    space, descent = make_space("velocity", start()), recipe(**{"iterations": 20} | KINDS[kind])
    whole = descend(Meter(oracle), reference, space, descent)
    journal = memory(writes=stop)
    with pytest.raises(KeyboardInterrupt):
        descend(Meter(oracle), reference, space, descent, journal)
    journal.writes = 10**9
    resumed = descend(Meter(oracle), reference, space, descent, journal)
    assert torch.equal(resumed.table.weights, whole.table.weights)
    assert torch.equal(resumed.table.knots, whole.table.knots)
    assert resumed.history == whole.history
    assert resumed.evaluations == whole.evaluations


class Telling:
    """Batches that say which one is asked for."""

    def __init__(self, reference):
        self.reference = reference

    def batch(self, index, size):
        sys.stdout.write(f"{index}\n")
        sys.stdout.flush()
        return self.reference.batch(index, size)


def search(path):
    """A search with a journal at ``path``."""
    model = guide(plane(), 1.0)
    reference, _, _ = Teacher(model, "search", 0).reference(32)
    settings = SearchSettings(iterations=60, batch_size=16, ema=0.8, clip=0.1)
    journal = FileJournal(Path(path), "key")
    return gradient(Meter(model), Telling(reference), start(), settings, journal=journal)


RUN = """
import runpy, sys
here = runpy.run_path(sys.argv[1])
here["module"].JOURNAL_SECONDS = 0
here["search"](sys.argv[2])
"""


def test_a_search_that_was_killed_goes_on_bit_for_bit(tmp_path, capsys):
    command = [sys.executable, "-c", RUN, __file__, str(tmp_path / "cut")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line == "23\n":
                process.kill()
    again = search(tmp_path / "cut")
    first, *_ = capsys.readouterr().out.split()
    assert 20 <= int(first) < 60
    whole = search(tmp_path / "whole")
    assert again.table.to_json() == whole.table.to_json()
    assert again.history == whole.history
    assert again.evaluations == whole.evaluations
