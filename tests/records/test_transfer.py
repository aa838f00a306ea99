import numpy as np
import pytest
from PIL import Image

from dss_ray.records.rows import Row
from dss_ray.records.transfer import SOURCE, ratios, render_transfer, sources
from dss_ray.records.transfer_plot import plot_transfer


def row(kind, source, model, nfe, rmse, fid=1.0):
    return Row(
        key=f"{kind}{source}{model}{nfe}",
        status="done",
        model=model,
        nfe=nfe,
        kind=kind,
        searched=kind == "searched",
        solver=source,
        guidance=1.0,
        fid=fid,
        features="digits-cnn",
        rmse=rmse,
        params={SOURCE: source},
    )


@pytest.fixture
def rows():
    found = []
    for nfe in (5, 10):
        for model, best in (("a", 0.2), ("b", 0.1)):
            found += [
                row("published", "flow-sit", model, nfe, 0.4),
                row("searched", "a", model, nfe, 0.05),
                row("searched", "b", model, nfe, 0.1),
                row("classical", "classical", model, nfe, best, fid=2.0),
            ]
    return found


def test_each_figure_stands_over_that_of_the_best_classical_solver_there(rows):
    cells = ratios(rows, "rmse")
    assert cells[5, "a", "a"] == pytest.approx(0.25)
    assert cells[5, "a", "b"] == pytest.approx(0.5)
    assert cells[10, "flow-sit", "b"] == pytest.approx(4)
    assert set(ratios(rows, "fid").values()) == {0.5}
    assert len(cells) == 2 * 2 * 3


def test_searched_sources_come_first_and_diverged_solvers_leave_a_gap(rows):
    assert sources(rows) == ["a", "b", "flow-sit"]
    lost = rows[1].model_copy(update={"rmse": None})
    assert (5, "a", "a") not in ratios([lost, *rows[2:]], "rmse")


def test_the_table_has_a_line_per_step_count_and_source(rows):
    table = render_transfer(rows, "rmse", "")
    assert [column.header for column in table.columns] == ["NFE", "searched on", "a", "b"]
    assert table.row_count == 6
    assert [str(cell) for cell in table.columns[2].cells] == ["0.25", "0.50", "2.00"] * 2


def test_the_heat_map_is_blue_where_the_classical_solver_is_beaten_and_red_elsewhere(
    rows, tmp_path
):
    plot_transfer(rows, "rmse", tmp_path / "map.png")
    pixels = np.asarray(Image.open(tmp_path / "map.png").convert("RGB")).astype(int)
    blue = ((pixels[..., 2] - pixels[..., 0]) > 80).sum()
    red = ((pixels[..., 0] - pixels[..., 2]) > 80).sum()
    assert blue > 2000
    assert red > 2000
