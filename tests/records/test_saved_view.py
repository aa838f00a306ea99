"""The view that MLflow's page of runs opens with."""

import json

from dss_ray.records.saved_view import saved_view

SWEPT = ("nfe", "method")


def state(name="night", features="digits-cnn"):
    return json.loads(json.loads(saved_view(name, features, SWEPT))["state"])


def test_columns_come_in_the_order_that_matters():
    own = state()
    assert own["columnOrder"][:3] == [
        "attributes.`Run Name`",
        "metrics.`fid_digits_cnn`",
        "metrics.`fid_digits_cnn_fresh`",
    ]
    assert set(own["selectedColumns"]) == set(own["columnOrder"][1:])
    assert "params.`method`" in own["selectedColumns"]


def test_charts_show_the_distance_over_everything_swept():
    charts = state()["compareRunCharts"]
    (parallel,) = [chart for chart in charts if chart["type"] == "PARALLEL"]
    assert parallel["selectedParams"] == ["nfe", "method"]
    assert parallel["selectedMetrics"] == ["fid_digits_cnn"]
    assert charts[0]["xaxis"]["key"] == "nfe" and charts[0]["yaxis"]["key"] == "fid_digits_cnn"


def test_every_chart_has_a_place_and_a_name_of_its_own():
    own = state()
    charts, sections = own["compareRunCharts"], own["compareRunSections"]
    assert {chart["metricSectionId"] for chart in charts} == {"night"} == {sections[0]["uuid"]}
    assert len({chart["uuid"] for chart in charts}) == len(charts)


def test_many_swept_values_fit_into_a_tag():
    swept = [f"a_rather_long_setting_{number}" for number in range(30)]
    assert len(saved_view("n" * 40, "inception?path=/some/where.pth", swept)) < 8000
