// The charts of solvers: each takes the colours of the page.

/** The error of each state to the teacher's, over its time. */
function errorsChart(colors, rows) {
  const data = rows.map((row) => {
    const [knots, errors] = [solverOf(row).knots.slice(1), closeupOf(row).errors.slice(1)];
    return kindTrace(colors, row.kind, {
      x: knots,
      y: errors,
      customdata: knots.map(() => row.key),
      text: errors.map(
        (error, step) =>
          `<b>${safe(row.solver)}</b><br>after step ${step + 1}, t = ${short(knots[step])}<br>rmse ${short(error)}`,
      ),
    });
  });
  return {
    data,
    layout: frame(
      colors,
      { title: "time (0 noise, 1 data)", range: [0, 1.02] },
      scale(data.flatMap((line) => line.y).filter((error) => error > 0)),
    ),
  };
}

/** Where solvers have their states and, if elsewhere, their queries, on the way from noise to data. */
function timesChart(colors, rows) {
  const data = [];
  rows.forEach((row, place) => {
    const { knots, times } = solverOf(row);
    const level = rows.length - place;
    data.push(
      kindTrace(colors, row.kind, {
        name: "states",
        showlegend: false,
        x: knots,
        y: knots.map(() => level),
        text: knots.map(
          (time, step) =>
            `<b>${safe(row.solver)}</b><br>${step ? `state after step ${step}` : "start"}: t = ${short(time)}`,
        ),
      }),
    );
    if (times.some((time, step) => Math.abs(time - knots[step]) > 1e-6)) {
      data.push({
        type: "scatter",
        mode: "markers",
        showlegend: false,
        x: times,
        y: times.map(() => level - 0.3),
        marker: { symbol: "x-thin", size: 9, line: { width: 2, color: colors.ink } },
        hoverinfo: "text",
        text: times.map(
          (time, step) => `<b>${safe(row.solver)}</b><br>query ${step + 1}: t = ${short(time)}`,
        ),
      });
    }
  });
  const levels = rows.map((_, place) => rows.length - place);
  return {
    data,
    layout: frame(
      colors,
      { title: "time (0 noise, 1 data)", range: [-0.02, 1.02] },
      {
        tickvals: levels,
        ticktext: rows.map((row) => row.kind),
        range: [0.4, rows.length + 0.6],
        showgrid: false,
      },
      { margin: { l: 78, r: 14, t: 8, b: 48 } },
    ),
  };
}

/** What each step adds of each velocity, in units of a uniform Euler step. */
function weightsChart(colors, solver) {
  const count = solver.weights.length;
  const unit = (solver.knots[count] - solver.knots[0]) / count || 1;
  const free = solver.start.some((weight) => Math.abs(weight) > 1e-9);
  const lines = solver.weights.map((line, step) =>
    [...(free ? [solver.start[step]] : []), ...line].map((weight) => weight / unit),
  );
  const heads = [...(free ? ["start"] : []), ...solver.weights.map((_, query) => `v${query + 1}`)];
  const limit = Math.max(...lines.flat().map(Math.abs)) || 1;
  const cells = lines.map((line) => heads.map((_, place) => line[place] ?? null));
  return {
    data: [
      {
        type: "heatmap",
        x: heads,
        y: lines.map((_, step) => step + 1),
        z: cells,
        zmin: -limit,
        zmax: limit,
        showscale: count > 12,
        xgap: 2,
        ygap: 2,
        ...heat(colors),
        texttemplate: count > 12 ? "" : "%{z:.2f}",
        hoverongaps: false,
        hovertemplate: "step %{y} adds<br>%{z:.4f} of %{x}<extra></extra>",
      },
    ],
    layout: frame(
      colors,
      { side: "top", showgrid: false, tickangle: 0 },
      { title: "step", autorange: "reversed", showgrid: false, dtick: count > 12 ? undefined : 1 },
      { margin: { l: 48, r: 8, t: 28, b: 8 } },
    ),
  };
}

/** The loss over the iterations of one stage of a search. */
const lossChart = (colors, points) => lineChart(colors, points, "iteration", "loss");

/** Points [x, y] joined by a line; x are whole numbers. */
function lineChart(colors, points, across, up) {
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const line = {
    type: "scatter",
    mode: points.length < 40 ? "lines+markers" : "lines",
    x: xs,
    y: ys,
    line: { color: colors.searched, width: 2 },
    marker: { size: 7 },
    hovertemplate: `${across} %{x}<br>${up} %{y:.5g}<extra></extra>`,
  };
  const whole = xs.length && xs.at(-1) < 8 ? { dtick: 1 } : {};
  return {
    data: [line],
    layout: frame(colors, { title: across, ...whole }, { tickformat: ".3~g", ...scale(ys) }),
  };
}
