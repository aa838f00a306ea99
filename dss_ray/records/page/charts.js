// How charts are drawn: from the colours of the page, and anew when these change.

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

/** What all charts share. What is drawn upward is said above a chart, which a phone has room for. */
function frame(colors, x, y, more = {}) {
  const axis = {
    gridcolor: colors.rule,
    linecolor: colors.soft,
    zeroline: false,
    exponentformat: "power",
    fixedrange: coarse,
    title: { standoff: 8 },
  };
  return {
    font: { family: "system-ui, sans-serif", size: 13, color: colors.ink },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 66, r: 14, t: 8, b: 48 },
    hoverlabel: {
      bgcolor: colors.page,
      bordercolor: colors.soft,
      font: { color: colors.ink, size: 13 },
      align: "left",
    },
    hovermode: "closest",
    dragmode: coarse ? false : "zoom",
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", xanchor: "left", bgcolor: "rgba(0,0,0,0)" },
    xaxis: { ...axis, ...x, title: { ...axis.title, text: x.title } },
    yaxis: { ...axis, ...y, title: { ...axis.title, text: y.title } },
    ...more,
  };
}

/** A log axis with plain numbers where positive values span more than a factor 3. */
function scale(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (!values.length || low <= 0 || high <= 3 * low) return {};
  const leading = high < 100 * low ? [1, 2, 5] : high < 1e4 * low ? [1, 3] : [1];
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)) - 1; power <= Math.ceil(Math.log10(high)); power++) {
    ticks.push(...leading.map((lead) => lead * 10 ** power));
  }
  return { type: "log", tickvals: ticks, ticktext: ticks.map(short) };
}

/** A line of one kind of solver with its mark. */
function kindTrace(colors, kind, more) {
  return {
    type: "scatter",
    mode: "lines+markers",
    name: kind,
    line: { color: colors[kind], dash: DASHES[kind], width: 2 },
    marker: { symbol: SYMBOLS[kind], size: 9, color: colors[kind] },
    hoverinfo: "text",
    ...more,
  };
}

/** Cold below the middle, warm above, both pale enough for numbers to stand out. */
function heat(colors) {
  const parts = (color) => [1, 3, 5].map((place) => parseInt(color.slice(place, place + 2), 16));
  const pale = (color) =>
    `rgb(${parts(color)
      .map((part, place) => Math.round(0.65 * part + 0.35 * parts(colors.card)[place]))
      .join(",")})`;
  return {
    colorscale: [
      [0, pale(colors.cold)],
      [0.5, colors.card],
      [1, pale(colors.warm)],
    ],
    textfont: { size: 13, color: colors.ink },
  };
}
