// The charts of a sweep: each takes the colours of the page.

/** What a chart says of a result. */
function told(row) {
  const trial = row.trial === undefined ? row.kind : `trial ${row.trial}`;
  const lines = [`<b>${safe(row.solver)}</b>`, `${trial}, ${row.nfe} steps, guidance ${row.guidance}`];
  if (row.fid !== undefined)
    lines.push(`${safe(distanceOf(row))} ${withSpread(row, 3)} on ${grouped(row.samples)} samples`);
  if (row.rmse !== undefined) lines.push(`rmse ${row.rmse.toFixed(4)}`);
  return lines.join("<br>");
}

/** A figure of the best solvers against NFE; others are pale dots. */
function frontChart(colors, entries, others, figure, spread) {
  const chosen = entries.filter((row) => row[figure] !== undefined);
  const data = others.length
    ? [
        {
          type: "scatter",
          mode: "markers",
          name: "other trials",
          x: others.map((row) => row.nfe),
          y: others.map((row) => row[figure]),
          marker: { color: colors.soft, size: 5, opacity: 0.55 },
          hoverinfo: "text",
          text: others.map(told),
          customdata: others.map((row) => row.key),
        },
      ]
    : [];
  for (const kind of KINDS) {
    const rows = chosen.filter((row) => row.kind === kind);
    if (!rows.length) continue;
    data.push(
      kindTrace(colors, kind, {
        x: rows.map((row) => row.nfe),
        y: rows.map((row) => row[figure]),
        text: rows.map(told),
        customdata: rows.map((row) => row.key),
        error_y: spread && {
          type: "data",
          array: rows.map((row) => row[spread] || 0),
          thickness: 1.5,
          width: 4,
        },
      }),
    );
  }
  const counts = [...new Set(chosen.map((row) => row.nfe))];
  return {
    data,
    layout: frame(colors, { title: "NFE", tickvals: counts }, scale(chosen.map((row) => row[figure]))),
  };
}

/** The trials of one step count in their order, and the best so far. */
function courseChart(colors, rows) {
  const data = [],
    best = { x: [], y: [] };
  for (const row of rows.filter((row) => !row.stopped && !row.violated)) {
    const value = selection(row);
    if (!best.y.length || value < best.y.at(-1)) {
      best.x.push(row.trial);
      best.y.push(value);
    }
  }
  if (best.x.length) {
    best.x.push(rows.at(-1).trial);
    best.y.push(best.y.at(-1));
  }
  for (const [name, chosen, symbol] of [
    ["all samples", rows.filter((row) => !row.stopped), "circle"],
    ["stopped early, on fewer", rows.filter((row) => row.stopped), "circle-open"],
  ]) {
    if (!chosen.length) continue;
    data.push({
      type: "scatter",
      mode: "markers",
      name,
      x: chosen.map((row) => row.trial),
      y: chosen.map(selection),
      marker: {
        symbol,
        size: rows.length > 60 ? 5 : 9,
        color: colors.searched,
        line: { width: 1.5, color: colors.searched },
      },
      hoverinfo: "text",
      text: chosen.map(told),
      customdata: chosen.map((row) => row.key),
    });
  }
  data.push({
    type: "scatter",
    mode: "lines",
    name: "best so far",
    ...best,
    line: { shape: "hv", color: colors.ink, width: 2 },
    hoverinfo: "skip",
  });
  return { data, layout: frame(colors, { title: "trial" }, scale(rows.map(selection))) };
}

/** The share of each dimension in the differences of each figure. */
function importanceChart(colors, figures) {
  const names = [...new Set(Object.values(figures).flatMap(Object.keys))].reverse();
  const looks = [
    { color: colors.ink },
    {
      color: colors.soft,
      pattern: { shape: "/", fillmode: "overlay", fgcolor: colors.card, size: 7, solidity: 0.3 },
    },
  ];
  const data = Object.entries(figures)
    .map(([figure, shares], place) => ({
      type: "bar",
      orientation: "h",
      name: figure,
      y: names,
      x: names.map((name) => shares[name] || 0),
      marker: looks[place % 2],
      text: names.map((name) => `${Math.round(100 * (shares[name] || 0))} %`),
      textposition: "outside",
      cliponaxis: false,
      hovertemplate: "%{y}: %{x:.1%} of the differences in %{fullData.name}<extra></extra>",
    }))
    .reverse();
  return {
    data,
    layout: frame(
      colors,
      { range: [0, 1.12], visible: false },
      { showgrid: false, ticklen: 6, automargin: true },
      {
        barmode: "group",
        bargap: 0.3,
        margin: { l: 66, r: 14, t: 8, b: 8 },
        height: 90 + 46 * names.length,
        legend: { orientation: "h", traceorder: "reversed", x: 0, y: 1.02, yanchor: "bottom" },
      },
    ),
  };
}

/** Figures of solvers over those of the best classical one, by where they come from and are used. */
function transferChart(colors, { sources, models, cells }, figure, nfe) {
  const names = new Map(
    cells[figure]
      .filter(([count]) => count === nfe)
      .map(([, source, model, ratio]) => [`${source}\n${model}`, ratio]),
  );
  const ratio = (source, model) => names.get(`${source}\n${model}`) ?? null;
  const logs = sources.map((source) =>
    models.map((model) => (ratio(source, model) === null ? null : Math.log2(ratio(source, model)))),
  );
  return {
    data: [
      {
        type: "heatmap",
        x: models.map(safe),
        y: sources.map(safe),
        z: logs,
        zmin: -2,
        zmax: 2,
        showscale: false,
        xgap: 2,
        ygap: 2,
        hoverongaps: false,
        ...heat(colors),
        text: sources.map((source) =>
          models.map((model) => (ratio(source, model) === null ? "" : ratio(source, model).toFixed(2))),
        ),
        texttemplate: "%{text}",
        hovertemplate: "from %{y}<br>used on %{x}<br>%{text} times the best classical<extra></extra>",
      },
    ],
    layout: frame(
      colors,
      { showgrid: false, automargin: true, title: "used on" },
      { autorange: "reversed", showgrid: false, automargin: true },
    ),
  };
}
