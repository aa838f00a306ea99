import sys
from itertools import combinations

import numpy as np
import pytest
import torch
from PIL import Image

from dss_ray.api import load_solver
from dss_ray.errors import UsageError
from dss_ray.records.closeups import Closeup
from dss_ray.records.drawing import BLUE, LOOKS, VERMILLION
from dss_ray.records.plots import plot_errors, plot_front, plot_importances
from dss_ray.records.raster import ticks
from dss_ray.records.sample_plot import plot_samples
from dss_ray.records.solver_plot import plot_history, plot_solver, step_weights

LIGHT, DARK = "#f6f8fa", "#171c22"  # what the charts of a report's page stand on
# Linear RGB as people without one kind of cone see it (Machado, Oliveira, Fernandes 2009).
VISION = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
               [0.004733, 0.691367, 0.303900]],
    "all": np.eye(3),
}  # fmt: skip
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(color):
    value = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIELAB, in which a distance of about 2 can just be seen."""
    x, y, z = np.cbrt(np.clip(TO_XYZ @ rgb / (TO_XYZ @ np.ones(3)), 1e-6, None))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(one, other):
    """Of the Web Content Accessibility Guidelines, 1 to 21."""
    low, high = sorted(float(TO_XYZ[1] @ linear(color)) + 0.05 for color in (one, other))
    return high / low


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("shade", ["color", "on_dark"])
def test_kinds_differ_for_all_kinds_of_colour_vision(vision, shade):
    seen = [
        lab(np.clip(np.array(VISION[vision]) @ linear(getattr(look, shade)), 0, 1))
        for look in LOOKS.values()
    ]
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 20


def test_kinds_stand_out_from_light_and_dark_and_differ_without_colour():
    for look in LOOKS.values():
        assert contrast(look.color, LIGHT) >= 3 and contrast(look.on_dark, DARK) >= 3
    assert len({look.marker for look in LOOKS.values()}) == len(LOOKS)
    assert len({look.line for look in LOOKS.values()}) == len(LOOKS)


def drawn(path):
    """Whether a picture shows something, on an opaque white ground."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGBA"))
    assert (pixels[..., 3] == 255).all() and (pixels[0, 0] == 255).all()
    return pixels.shape[0] > 100 and pixels[..., :3].std() > 10


def count(path, color):
    """How many pixels of a picture have nearly that colour."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    wanted = [int(color[place : place + 2], 16) for place in (1, 3, 5)]
    return int((abs(pixels - wanted).max(axis=2) < 12).sum())


@pytest.mark.parametrize(("name", "nfe"), [("euler", 1), ("ab2", 5), ("heun", 6), ("ab4", 30)])
def test_a_solver_of_any_length_is_drawn(tmp_path, name, nfe):
    plot_solver(load_solver(name, nfe).table, tmp_path / "s.png", "a very long title " * 9)
    assert drawn(tmp_path / "s.png")


def test_weights_are_counted_in_uniform_euler_steps():
    euler, heads = step_weights(load_solver("euler", 4, "power:2").table)
    assert heads == ["v1", "v2", "v3", "v4"]
    np.testing.assert_allclose(np.diag(euler), [1 / 4, 3 / 4, 5 / 4, 7 / 4])
    assert np.isnan(euler[np.triu_indices(4, 1)]).all()
    ab2, _ = step_weights(load_solver("ab2", 4).table)
    np.testing.assert_allclose(ab2[2, :3], [0, -0.5, 1.5])


def test_a_table_of_the_whole_space_shows_the_weights_of_its_start_state():
    table = load_solver("euler", 2).table
    moved = type(table)(table.times, table.start * 0.9, table.weights, table.knots, free=True)
    weights, heads = step_weights(moved)
    assert heads == ["start", "v1", "v2"]
    np.testing.assert_allclose(weights[:, 0], [-0.2, 0])


def test_positive_weights_are_vermillion_and_negative_ones_blue(tmp_path):
    plot_solver(load_solver("euler", 4).table, tmp_path / "euler.png")
    plot_solver(load_solver("dpmpp3m", 4).table, tmp_path / "dpm.png")
    assert count(tmp_path / "euler.png", VERMILLION) > 4 * 100 * 62 * 0.9
    assert count(tmp_path / "euler.png", BLUE) == 0
    with Image.open(tmp_path / "dpm.png") as picture:
        red, _, blue = np.moveaxis(np.asarray(picture).astype(int), 2, 0)
    assert (blue - red > 40).sum() > 5000


@pytest.mark.parametrize(
    "history",
    [
        {"gradient": [(0, 1.0), (1, 1e-3)]},
        {"a": [(0, 0.0)], "b": [(0, 1.0), (1, float("nan"))]},
        {"a": [(step, -1.0) for step in range(500)]},
        {"a": []},
        {},
    ],
)
def test_any_history_is_drawn(tmp_path, history):
    plot_history(history, tmp_path / "h.png")
    assert drawn(tmp_path / "h.png") or not any(history.values())


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(("low", "high"), [(0.3, 1.7), (1e-7, 3e-5), (2.0, 9000.0), (0.9, 1.1)])
def test_an_axis_has_a_few_round_numbers_within_its_ends(low, high, log):
    found = ticks(low, high, log)
    assert all(low <= tick <= high for tick in found)
    assert 1 <= len(found) <= 8 and {f"{tick:.0e}"[0] for tick in found} <= set("1234568790")


def test_a_front_of_several_models_is_drawn(tmp_path, row, final):
    rows = [row("a", nfe=4, fid=90.0), final("b", [1.0, 2.0], 1.0), row("c", kind="classical"),
            row("d", model="n", fid=0.0),
            row("e", status="failed", error="x", fid=None)]  # fmt: skip
    plot_front(rows, tmp_path / "f.png")
    assert drawn(tmp_path / "f.png")
    with Image.open(tmp_path / "f.png") as picture:
        assert picture.width == 2 * 830  # twice a README's width
    plot_front([], tmp_path / "none.png")


def test_errors_and_importances_are_drawn(tmp_path):
    times, rising = (0.0, 0.5, 1.0), (0.0, 0.1, 0.2)
    near = [Closeup(kind, "m", 1.0, 2, kind, times, rising, None, None) for kind in LOOKS]
    plot_errors(near, tmp_path / "e.png")
    plot_importances({"FID": {"grid": 0.9, "ridge": 0.1}, "rmse": {}}, tmp_path / "i.png")
    assert drawn(tmp_path / "e.png") and drawn(tmp_path / "i.png")
    assert all(count(tmp_path / "e.png", look.color) > 100 for look in LOOKS.values())


@pytest.mark.parametrize("channels", [1, 3])
def test_samples_appear_pixel_by_pixel_in_order(tmp_path, channels):
    images = torch.rand(6, channels, 8, 8)
    plot_samples(images, tmp_path / "g.png", columns=3)
    with Image.open(tmp_path / "g.png") as file:
        picture = np.asarray(file) / 255
    assert picture.shape == (2 * 58, 3 * 58, 3)
    cells = picture.reshape(2, 58, 3, 58, 3).swapaxes(1, 2).reshape(6, 58, 58, 3)
    middles = cells[:, 4:-1:7, 4:-1:7]  # one pixel inside each of the 8 x 8, which are 7 wide
    expected = images.permute(0, 2, 3, 1).expand(-1, -1, -1, 3).numpy()
    np.testing.assert_allclose(middles, expected, atol=1 / 255)


def test_labels_widen_the_picture_and_must_name_each_row(tmp_path):
    images = torch.rand(4, 1, 8, 8)
    plot_samples(images, tmp_path / "g.png", 2, ["teacher", "ab2"])
    with Image.open(tmp_path / "g.png") as picture:
        assert picture.width > 2 * 58 + 40
    for wrong in ({"columns": 3}, {"columns": 2, "row_labels": ["one"]}):
        with pytest.raises(UsageError, match="sample grid: expected rows of"):
            plot_samples(images, tmp_path / "g.png", **wrong)


def test_drawing_leaves_pyplot_alone(tmp_path, row):
    plot_front([row()], tmp_path / "f.png")
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )
