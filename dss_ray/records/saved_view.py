"""A view of MLflow's runs page that is prepared for one sweep: its columns and its charts.

The page itself shows neither parameters nor metrics until one picks them column by column, and
comparing a selection that holds a failed trial or the parent plots no metric at all. What a view
holds is known from the page's own saved views; a page that knows a key no more ignores it.
"""

import json
import time
from collections.abc import Sequence
from typing import Any

from dss_ray.records.run_fields import FIGURES, distance_metric

FINISHED = 'tags.kind = "searched" AND attributes.status = "FINISHED"'
NAME, WIDE = "attributes.`Run Name`", 330  # a column, and pixels
MANY = 1000  # runs that a chart shows at most
GENERATED = ("Model metrics", "System metrics")  # the page's own sections of charts
COLUMNS = 2  # charts side by side


def saved_view(name: str, features: str, swept: Sequence[str]) -> str:
    """The value of the experiment's tag: the sweep's finished trials, best first."""
    fid = distance_metric(features)
    columns = [f"metrics.`{metric}`" for metric in (fid, f"{fid}_fresh", *FIGURES)]
    columns += [f"params.`{param}`" for param in swept]
    state = {
        "searchFilter": f'tags.`dss.sweep` = "{name}" AND {FINISHED}',
        "orderByKey": f"metrics.`{fid}`",
        "orderByAsc": True,
        "selectedColumns": columns,
        "columnOrder": [NAME, *columns],
        "columnWidths": {NAME: WIDE},
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": charts(name, fid, swept),
        "compareRunSections": [
            {
                "uuid": section,
                "name": section,
                "display": section == name,
                "isReordered": False,
                "columns": COLUMNS,
            }
            for section in (name, *GENERATED)
        ],
    }
    now = int(time.time() * 1000)
    view = {"name": f"{name}: finished trials", "createdAt": now, "updatedAt": now}
    return json.dumps(view | {"state": json.dumps(state)})


def charts(section: str, fid: str, swept: Sequence[str]) -> list[dict[str, Any]]:
    """The distance over the step count, over all swept values, over cost and over rmse."""
    parallel = {
        "type": "PARALLEL",
        "selectedParams": list(swept),
        "selectedMetrics": [fid],
        "showAllRuns": True,
    }
    drawn = [
        scatter("nfe", "PARAM", fid),
        parallel,
        scatter("evaluations", "METRIC", fid),
        scatter("rmse", "METRIC", fid),
    ]
    shared = {
        "metricSectionId": section,
        "runsCountToCompare": MANY,
        "deleted": False,
        "isGenerated": False,
    }
    return [shared | chart | {"uuid": f"{section} {i}"} for i, chart in enumerate(drawn)]


def scatter(key: str, kind: str, fid: str) -> dict[str, Any]:
    """The distance over a parameter or a metric."""
    axes = {"xaxis": {"key": key, "type": kind}, "yaxis": {"key": fid, "type": "METRIC"}}
    return {"type": "SCATTER"} | axes
