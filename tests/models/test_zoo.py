import textwrap

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from dss_ray.errors import ModelError, UsageError
from dss_ray.models.noise import draw
from dss_ray.models.protocol import VelocityModel
from dss_ray.models.zoo import check_model_name, load_model, model_names

GOOD = """
    class Model:
        name, fingerprint, sample_shape, num_classes = "mine", "1", (2,), None
        t_min, t_max = 0.1, 1.0

        def __init__(self, factor=1.0):
            self.factor = factor

        def __call__(self, x, t, label):
            return self.factor * x
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a user's module and returns its name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text):
        name = f"users_{abs(hash(text))}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        return name

    return write


@pytest.mark.parametrize("name", model_names())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zoo_models_keep_the_protocol(name, dtype):
    model = load_model(name)
    assert isinstance(model, VelocityModel)
    assert model.name == name
    noise, label = draw(model.sample_shape, model.num_classes, "search", 0, 0, 3)
    x, t = noise.to(dtype).requires_grad_(), torch.tensor(0.5, dtype=dtype, requires_grad=True)
    velocity = model(x, t, label)
    assert (velocity.shape, velocity.dtype) == (x.shape, dtype)
    assert all(part.abs().sum() > 0 for part in torch.autograd.grad(velocity.sum(), (x, t)))
    each = model(x, t.expand(3), label)
    assert torch.allclose(velocity, each, atol=1e-6)
    null = torch.full((3,), model.num_classes)
    assert torch.equal(model(x, t, None), model(x, t, null))


def test_networks_stay_in_eval_mode_with_frozen_weights_and_a_stable_fingerprint():
    model = load_model("digits-sit").train()
    assert not any(part.training for part in model.modules())
    assert not any(weight.requires_grad for weight in model.parameters())
    again = load_model("digits-sit")
    assert model.fingerprint == again.fingerprint
    assert model.fingerprint != load_model("gaussian-mixture").fingerprint


def test_a_users_callable_is_loaded_with_its_arguments(module):
    model = load_model(f"{module(GOOD)}:Model", factor=3.0)
    assert torch.equal(model(torch.ones(1, 2), torch.tensor(0.5), None), torch.full((1, 2), 3.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("t_min, t_max = 0.1, 1.0", ""), "lacks t_min, t_max"),
        (("(2,)", "[2]"), "sample_shape must be a tuple"),
        (("None\n", "0\n"), "num_classes must be a positive integer"),
        (("0.1, 1.0", "0.1, 999.0"), "t_max must be a number from t_min to 1"),
        (("0.1, 1.0", "1.0, 0.1"), "t_min must be below t_max"),
        (("self.factor * x", "x[:, :1]"), r"must return that shape, got \(1, 1\)"),
        (("self.factor * x", "x[:2]"), r"x \(3, 2\) .* must return that shape, got \(2, 2\)"),
        (("self.factor * x", "x / 0"), "NaN or infinity"),
        (("self.factor * x", "x + unknown"), "trial call .* failed: NameError"),
        (("self.factor * x", "x * [1.0][int(t > 0.9)]"), "at t = 0.982 failed: IndexError"),
        (("__call__", "velocity"), "expected a callable"),
        (("self.factor = factor", "raise OSError('no disk')"), "OSError: no disk"),
    ],
)
def test_a_users_defects_are_named(module, change, message):
    with pytest.raises(ModelError, match=message):
        load_model(f"{module(GOOD.replace(*change))}:Model")


def test_what_cannot_be_imported_or_called_is_named(module):
    with pytest.raises(ModelError, match="cannot import 'no_such_package"):
        load_model("no_such_package.models:build")
    with pytest.raises(ModelError, match="must be a callable, found nothing"):
        load_model(f"{module(GOOD)}:Modle")
    with pytest.raises(UsageError, match="takes no options, got 'size'"):
        load_model("gaussian-mixture", size=3)
    with pytest.raises(UsageError, match="did you mean 'factor'"):
        load_model(f"{module(GOOD)}:Model?facter=2")
    with pytest.raises(ModelError, match=r"cannot import .*SyntaxError"):
        load_model(f"{module('def (')}:Model")


def test_keyword_arguments_follow_the_name(module):
    x = torch.ones(1, 2)
    model = load_model(f"{module(GOOD)}:Model?factor=2.5")
    assert torch.equal(model(x, torch.tensor(0.5), None), 2.5 * x)


@pytest.mark.parametrize("name", ["digits-stt", "my.module", "a b:c", ":build"])
def test_unknown_names_list_the_known_ones(name):
    for refuse in (check_model_name, load_model):
        with pytest.raises(UsageError, match=r"digits-sit.*package\.module:callable"):
            refuse(name)


@pytest.mark.parametrize("name", model_names())
def test_zoo_models_push_tangents_of_state_and_time_forward(name):
    model = load_model(name)
    noise, label = draw(model.sample_shape, model.num_classes, "search", 0, 0, 3)
    x, t = noise.double(), torch.tensor(0.5, dtype=torch.float64)
    dx = torch.randn(2, *x.shape, generator=torch.Generator().manual_seed(0)).double()
    dt = torch.tensor([0.0, 1.0], dtype=torch.float64)
    with sdpa_kernel(SDPBackend.MATH):
        slopes = torch.func.vmap(
            lambda *way: torch.func.jvp(lambda x, t: model(x, t, label), (x, t), way)[1]
        )(dx, dt)
    for ahead, later, slope in zip(dx, dt, slopes, strict=True):
        step = 2e-4
        change = model(x + step * ahead, t + step * later, label)
        change -= model(x - step * ahead, t - step * later, label)
        assert (2 * step * slope - change).norm() < 0.01 * change.norm()


@pytest.mark.parametrize("name", model_names())
def test_zoo_models_are_traced_without_a_break(name):
    model = load_model(name)
    noise, label = draw(model.sample_shape, model.num_classes, "search", 0, 0, 3)
    compiled = torch.compile(lambda *inputs: model(*inputs), backend="eager", fullgraph=True)
    inputs = noise, torch.tensor(0.4), label
    assert torch.allclose(compiled(*inputs), model(*inputs), rtol=0, atol=1e-6)
