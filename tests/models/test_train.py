from dataclasses import replace

import pytest
import torch

from dss_ray.errors import FileError
from dss_ray.models import checkpoint, digits, train
from dss_ray.models.conventions import ddpm_path, linear_alphas_cumprod
from dss_ray.models.labelled import decode
from dss_ray.models.recipes import RECIPES, flow_loss, noise_loss
from dss_ray.models.shipped import DIGITS_DIT_UNIT
from dss_ray.models.sit import SiT, SiTSettings

TINY = SiTSettings(8, 4, 1, 8, 1, 2, 2.0, 10, learn_sigma=False)


def recipe(steps):
    return replace(RECIPES["digits-sit"], build=lambda: SiT(TINY), steps=steps, batch=4)


def test_a_resumed_run_ends_with_the_same_weights(tmp_path):
    whole, broken = train.Training(recipe(8)), train.Training(recipe(8))
    for _ in range(5):
        broken.advance()
    broken.save(tmp_path / "state")
    resumed = train.Training(recipe(8))
    resumed.load(tmp_path / "state")
    for _ in range(8):
        whole.advance()
    for _ in range(3):
        resumed.advance()
    assert resumed.step == whole.step
    assert all(torch.equal(resumed.tensors()[k], v) for k, v in whole.tensors().items())


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path):
    training = train.Training(recipe(8))
    training.advance()
    training.save(tmp_path / "state")
    with pytest.raises(FileError, match="another recipe"):
        train.Training(recipe(9)).load(tmp_path / "state")


def test_a_tenth_of_the_labels_become_null():
    seen = []

    def network(x, _t, label):
        seen.append(label)
        return torch.zeros_like(x)

    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(20_000) % 10
    flow_loss(network, torch.zeros(20_000, 1, 8, 8), labels, generator)
    dropped = seen[0] == 10
    assert abs(dropped.float().mean() - 0.1) < 0.01
    assert torch.equal(seen[0][~dropped], labels[~dropped])


def test_noise_is_asked_for_at_the_time_at_which_the_converted_model_asks():
    """Whoever knows the data and inverts the path's own time finds all of the noise."""
    path = ddpm_path(linear_alphas_cumprod(), DIGITS_DIT_UNIT)
    frame = torch.linspace(path.t_min, path.t_max, 100_001, dtype=torch.float64)
    own = path.own_time(frame)

    def network(x, time, _label):
        nearest = torch.searchsorted(-own, -time.double()).clamp(max=100_000)
        a, s = (scale.view(-1, 1, 1, 1).float() for scale in path.scales(frame[nearest]))
        return (x - a * 0.3) / s

    data = torch.full((500, 1, 8, 8), 0.3)
    generator = torch.Generator().manual_seed(0)
    assert noise_loss(network, data, torch.arange(500) % 10, generator) < 1e-5


def test_a_short_training_ships_half_precision_weights_that_learnt(tmp_path, monkeypatch):
    short = replace(RECIPES["digits-cnn"], steps=150, batch=32, ema=0.9)
    monkeypatch.setitem(train.RECIPES, "digits-cnn", short)
    path = train.train("digits-cnn", tmp_path / "state", tmp_path)
    weights, document = checkpoint.read(path)
    assert document["steps"] == 150
    assert {weight.dtype for weight in weights.values()} == {torch.float16}
    network = short.build()
    network.load_state_dict(weights)
    data = digits.images("held-out")
    named = network(decode(data.images)).argmax(1)
    assert (named == data.labels).float().mean() > 0.8


def test_the_command_names_unknown_recipes(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["train", "digits-stt"])
    assert train.main() == 2
    assert "did you mean 'digits-sit'" in " ".join(capsys.readouterr().err.split())
