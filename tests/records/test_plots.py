import sys

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from dss_ray.errors import UsageError
from dss_ray.records.plots import plot_front, plot_history, plot_samples, plot_solver
from dss_ray.solver.table import SolverTable


def euler(nfe):
    knots = torch.linspace(0, 1, nfe + 1, dtype=torch.float64)
    weights = torch.tril(torch.ones(nfe, nfe, dtype=torch.float64)) / nfe
    return SolverTable(knots[:-1], torch.ones(nfe, dtype=torch.float64), weights, knots)


def drawn(path):
    picture = imread(path)[..., :3]
    return picture.shape[0] > 100 and picture.std() > 0.05


@pytest.mark.parametrize("nfe", [1, 5, 30])
def test_a_solver_of_any_length_is_drawn(tmp_path, nfe):
    plot_solver(euler(nfe), tmp_path / "s.png", "title")
    assert drawn(tmp_path / "s.png")


@pytest.mark.parametrize(
    "history",
    [{"gradient": [(0, 1.0), (1, 1e-3)]}, {"a": [(0, 0.0)], "b": [(0, 1.0)]}, {"a": []}, {}],
)
def test_any_history_is_drawn(tmp_path, history):
    plot_history(history, tmp_path / "h.png")
    assert (tmp_path / "h.png").exists()


def test_a_front_of_several_models_is_drawn(tmp_path, row, final):
    rows = [row("a", nfe=4, fid=90.0), final("b", [1.0, 2.0], 1.0), row("c", kind="classical"),
            row("d", model="n", fid=0.0),
            row("e", status="failed", error="x", fid=None)]  # fmt: skip
    plot_front(rows, tmp_path / "f.png")
    assert drawn(tmp_path / "f.png")
    plot_front([], tmp_path / "none.png")


@pytest.mark.parametrize("channels", [1, 3])
def test_samples_appear_pixel_by_pixel_in_order(tmp_path, channels):
    images = torch.rand(6, channels, 8, 8)
    plot_samples(images, tmp_path / "g.png", columns=3)
    picture = imread(tmp_path / "g.png")[..., :3]
    assert picture.shape == (2 * 58, 3 * 58, 3)
    cells = picture.reshape(2, 58, 3, 58, 3).swapaxes(1, 2).reshape(6, 58, 58, 3)
    middles = cells[:, 4:-1:7, 4:-1:7]  # one pixel inside each of the 8 x 8, which are 7 wide
    expected = images.permute(0, 2, 3, 1).expand(-1, -1, -1, 3).numpy()
    np.testing.assert_allclose(middles, expected, atol=1 / 255)


def test_labels_widen_the_picture_and_must_name_each_row(tmp_path):
    images = torch.rand(4, 1, 8, 8)
    plot_samples(images, tmp_path / "g.png", 2, ["teacher", "ab2"])
    assert imread(tmp_path / "g.png").shape[1] > 2 * 58 + 40
    for wrong in ({"columns": 3}, {"columns": 2, "row_labels": ["one"]}):
        with pytest.raises(UsageError, match="sample grid: expected rows of"):
            plot_samples(images, tmp_path / "g.png", **wrong)


def test_drawing_leaves_pyplot_alone(tmp_path):
    plot_solver(euler(3), tmp_path / "s.png")
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )
