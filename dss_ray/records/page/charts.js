// The charts: each is a function of the theme, drawn anew when the colours of the page change.

const drawn = new Map();
const KINDS = ["searched", "classical", "published"];
const SYMBOLS = { searched: "circle", classical: "square", published: "diamond" };
const DASHES = { searched: "solid", classical: "dash", published: "dot" };
const coarse = matchMedia("(pointer: coarse)").matches;

/** The colours of the page as it is shown now. */
function theme() {
  const style = getComputedStyle(document.documentElement);
  const names = ["page", "card", "ink", "soft", "rule", "cold", "warm", ...KINDS];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

/** Draw what build(theme) gives into a chart; a point with customdata opens that trial. */
function draw(chart, label, build) {
  chart.setAttribute("role", "img");
  chart.setAttribute("aria-label", label);
  const fresh = !drawn.has(chart);
  drawn.set(chart, build);
  const { data, layout } = build(theme());
  Plotly.react(chart, data, layout, { displayModeBar: false, responsive: true });
  if (fresh) {
    chart.on("plotly_click", ({ points: [point] }) => {
      if (point.customdata) location.hash = `trial-${encodeURIComponent(point.customdata)}`;
    });
  }
}

/** Forget the charts below an element. */
function forget(element) {
  for (const chart of element.querySelectorAll(".chart")) {
    if (drawn.delete(chart)) Plotly.purge(chart);
  }
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const [chart, build] of drawn) {
    const { data, layout } = build(theme());
    Plotly.react(chart, data, layout);
  }
});

/** Text for a chart: plotly takes some markup, a sweep's text must not be any. */
const safe = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

/** What all charts share. */
function frame(colors, x, y, more = {}) {
  const axis = { gridcolor: colors.rule, linecolor: colors.soft, zeroline: false, automargin: true, exponentformat: "power", fixedrange: coarse, title: { standoff: 8 } };
  return {
    font: { family: "system-ui, sans-serif", size: 13, color: colors.ink },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 56, r: 12, t: 8, b: 44 },
    hoverlabel: { bgcolor: colors.page, bordercolor: colors.soft, font: { color: colors.ink, size: 13 }, align: "left" },
    hovermode: "closest", dragmode: coarse ? false : "zoom",
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", xanchor: "left", bgcolor: "rgba(0,0,0,0)" },
    xaxis: { ...axis, ...x, title: { ...axis.title, text: x.title } },
    yaxis: { ...axis, ...y, title: { ...axis.title, text: y.title } },
    ...more,
  };
}

/** A log axis with plain numbers where positive values span more than a factor 3. */
function scale(title, values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (!values.length || low <= 0 || high <= 3 * low) return { title };
  const leading = high < 100 * low ? [1, 2, 5] : high < 1e4 * low ? [1, 3] : [1];
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)) - 1; power <= Math.ceil(Math.log10(high)); power++) {
    ticks.push(...leading.map((lead) => lead * 10 ** power));
  }
  return { title, type: "log", tickvals: ticks, ticktext: ticks.map(short) };
}

/** A line of one kind of solver with its mark. */
function kindTrace(colors, kind, more) {
  return { type: "scatter", mode: "lines+markers", name: kind, line: { color: colors[kind], dash: DASHES[kind], width: 2 },
    marker: { symbol: SYMBOLS[kind], size: 9, color: colors[kind] }, hoverinfo: "text", ...more };
}

/** Cold below the middle, warm above, both pale enough for numbers to stand out. */
function heat(colors) {
  const parts = (color) => [1, 3, 5].map((place) => parseInt(color.slice(place, place + 2), 16));
  const pale = (color) => `rgb(${parts(color).map((part, place) => Math.round(0.65 * part + 0.35 * parts(colors.card)[place])).join(",")})`;
  return { colorscale: [[0, pale(colors.cold)], [0.5, colors.card], [1, pale(colors.warm)]], textfont: { size: 13, color: colors.ink } };
}

/** A figure of the best solvers against NFE; others are pale dots. */
function frontChart(colors, entries, others, figure, spread, title) {
  const chosen = entries.filter((row) => row[figure] !== undefined);
  const data = others.length ? [{ type: "scatter", mode: "markers", name: "other trials", x: others.map((row) => row.nfe), y: others.map((row) => row[figure]),
    marker: { color: colors.soft, size: 5, opacity: 0.55 }, hoverinfo: "text", text: others.map(told), customdata: others.map((row) => row.key) }] : [];
  for (const kind of KINDS) {
    const rows = chosen.filter((row) => row.kind === kind);
    if (!rows.length) continue;
    data.push(kindTrace(colors, kind, { x: rows.map((row) => row.nfe), y: rows.map((row) => row[figure]), text: rows.map(told), customdata: rows.map((row) => row.key),
      error_y: spread && { type: "data", array: rows.map((row) => row[spread] || 0), thickness: 1.5, width: 4 } }));
  }
  const counts = [...new Set(chosen.map((row) => row.nfe))];
  return { data, layout: frame(colors, { title: "NFE", tickvals: counts }, scale(title, chosen.map((row) => row[figure]))) };
}

/** The error of each state to the teacher's, over its time. */
function errorsChart(colors, rows) {
  const data = rows.map((row) => {
    const [knots, errors] = [solverOf(row).knots.slice(1), closeupOf(row).errors.slice(1)];
    return kindTrace(colors, row.kind, { x: knots, y: errors, customdata: knots.map(() => row.key),
      text: errors.map((error, step) => `<b>${safe(row.solver)}</b><br>after step ${step + 1}, t = ${short(knots[step])}<br>rmse ${short(error)}`) });
  });
  return { data, layout: frame(colors, { title: "time (0 noise, 1 data)", range: [0, 1.02] }, scale("rmse to the teacher", data.flatMap((line) => line.y).filter((error) => error > 0))) };
}

/** Where solvers have their states and, if elsewhere, their queries, on the way from noise to data. */
function timesChart(colors, rows) {
  const data = [];
  rows.forEach((row, place) => {
    const { knots, times } = solverOf(row);
    const level = rows.length - place;
    data.push(kindTrace(colors, row.kind, { name: "states", showlegend: false, x: knots, y: knots.map(() => level),
      text: knots.map((time, step) => `<b>${safe(row.solver)}</b><br>${step ? `state after step ${step}` : "start"}: t = ${short(time)}`) }));
    if (times.some((time, step) => Math.abs(time - knots[step]) > 1e-6)) {
      data.push({ type: "scatter", mode: "markers", showlegend: false, x: times, y: times.map(() => level - 0.3),
        marker: { symbol: "x-thin", size: 9, line: { width: 2, color: colors.ink } }, hoverinfo: "text",
        text: times.map((time, step) => `<b>${safe(row.solver)}</b><br>query ${step + 1}: t = ${short(time)}`) });
    }
  });
  const levels = rows.map((_, place) => rows.length - place);
  return { data, layout: frame(colors, { title: "time (0 noise, 1 data)", range: [-0.02, 1.02] },
    { tickvals: levels, ticktext: rows.map((row) => row.kind), range: [0.4, rows.length + 0.6], showgrid: false }) };
}

/** What each step adds of each velocity, in units of a uniform Euler step. */
function weightsChart(colors, solver) {
  const count = solver.weights.length;
  const unit = (solver.knots[count] - solver.knots[0]) / count || 1;
  const free = solver.start.some((weight) => Math.abs(weight) > 1e-9);
  const lines = solver.weights.map((line, step) => [...(free ? [solver.start[step]] : []), ...line].map((weight) => weight / unit));
  const heads = [...(free ? ["start"] : []), ...solver.weights.map((_, query) => `v${query + 1}`)];
  const limit = Math.max(...lines.flat().map(Math.abs)) || 1;
  const cells = lines.map((line) => heads.map((_, place) => line[place] ?? null));
  return {
    data: [{ type: "heatmap", x: heads, y: lines.map((_, step) => step + 1), z: cells, zmin: -limit, zmax: limit, showscale: count > 12, xgap: 2, ygap: 2,
      ...heat(colors), texttemplate: count > 12 ? "" : "%{z:.2f}", hoverongaps: false,
      hovertemplate: "step %{y} adds<br>%{z:.4f} of %{x}<extra></extra>" }],
    layout: frame(colors, { side: "top", showgrid: false, tickangle: 0 }, { title: "step", autorange: "reversed", showgrid: false, dtick: count > 12 ? undefined : 1 }, { margin: { l: 40, r: 8, t: 28, b: 8 } }),
  };
}

/** The loss over the iterations of one stage of a search. */
function lossChart(colors, points) {
  const [steps, losses] = [points.map(([step]) => step), points.map(([, loss]) => loss)];
  const line = { type: "scatter", mode: points.length < 40 ? "lines+markers" : "lines", x: steps, y: losses, line: { color: colors.searched, width: 2 }, marker: { size: 7 },
    hovertemplate: "iteration %{x}<br>loss %{y:.5g}<extra></extra>" };
  const whole = steps.length && steps.at(-1) < 8 ? { dtick: 1 } : {};
  return { data: [line], layout: frame(colors, { title: "iteration", ...whole }, { tickformat: ".3~g", ...scale("loss", losses) }) };
}

/** The trials of one step count in their order, and the best so far. */
function courseChart(colors, rows, title) {
  const data = [], best = { x: [], y: [] };
  for (const row of rows.filter((row) => !row.stopped && !row.violated)) {
    const value = selection(row);
    if (!best.y.length || value < best.y.at(-1)) { best.x.push(row.trial); best.y.push(value); }
  }
  if (best.x.length) { best.x.push(rows.at(-1).trial); best.y.push(best.y.at(-1)); }
  for (const [name, chosen, symbol] of [["all samples", rows.filter((row) => !row.stopped), "circle"], ["stopped early, on fewer", rows.filter((row) => row.stopped), "circle-open"]]) {
    if (!chosen.length) continue;
    data.push({ type: "scatter", mode: "markers", name, x: chosen.map((row) => row.trial), y: chosen.map(selection), marker: { symbol, size: rows.length > 60 ? 5 : 9, color: colors.searched, line: { width: 1.5, color: colors.searched } },
      hoverinfo: "text", text: chosen.map(told), customdata: chosen.map((row) => row.key) });
  }
  data.push({ type: "scatter", mode: "lines", name: "best so far", ...best, line: { shape: "hv", color: colors.ink, width: 2 }, hoverinfo: "skip" });
  return { data, layout: frame(colors, { title: "trial" }, scale(title, rows.map(selection))) };
}

/** The share of each dimension in the differences of each figure. */
function importanceChart(colors, figures) {
  const names = [...new Set(Object.values(figures).flatMap(Object.keys))].reverse();
  const looks = [{ color: colors.ink }, { color: colors.soft, pattern: { shape: "/", fillmode: "overlay", fgcolor: colors.card, size: 7, solidity: 0.3 } }];
  const data = Object.entries(figures).map(([figure, shares], place) => ({ type: "bar", orientation: "h", name: figure, y: names, x: names.map((name) => shares[name] || 0),
    marker: looks[place % 2], text: names.map((name) => `${Math.round(100 * (shares[name] || 0))} %`), textposition: "outside", cliponaxis: false,
    hovertemplate: "%{y}: %{x:.1%} of the differences in %{fullData.name}<extra></extra>" })).reverse();
  return { data, layout: frame(colors, { range: [0, 1.12], visible: false }, { showgrid: false, ticklen: 6 },
    { barmode: "group", bargap: 0.3, margin: { l: 56, r: 12, t: 8, b: 8 }, height: 90 + 46 * names.length, legend: { orientation: "h", traceorder: "reversed", x: 0, y: 1.02, yanchor: "bottom" } }) };
}

/** Figures of solvers over those of the best classical one, by where they come from and are used. */
function transferChart(colors, { sources, models, cells }, figure, nfe) {
  const names = new Map(cells[figure].filter(([count]) => count === nfe).map(([, source, model, ratio]) => [`${source}\n${model}`, ratio]));
  const ratio = (source, model) => names.get(`${source}\n${model}`) ?? null;
  const logs = sources.map((source) => models.map((model) => (ratio(source, model) === null ? null : Math.log2(ratio(source, model)))));
  return {
    data: [{ type: "heatmap", x: models.map(safe), y: sources.map(safe), z: logs, zmin: -2, zmax: 2, showscale: false, xgap: 2, ygap: 2, hoverongaps: false,
      ...heat(colors), text: sources.map((source) => models.map((model) => (ratio(source, model) === null ? "" : ratio(source, model).toFixed(2)))),
      texttemplate: "%{text}", hovertemplate: "from %{y}<br>used on %{x}<br>%{text} times the best classical<extra></extra>" }],
    layout: frame(colors, { showgrid: false, title: "used on" }, { autorange: "reversed", showgrid: false, title: "searched on" }),
  };
}
