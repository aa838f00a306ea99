// The page of one result, opened by #trial-KEY.

const page = document.getElementById("trial");

/** The figures of a result as pairs. */
function figuresOf(row) {
  const distance = distanceOf(row);
  const seeds = row.fid_values ? ` on ${row.fid_values.length} fresh seeds of ${grouped(row.samples)} samples` : ` on the selection seed, ${grouped(row.samples)} samples`;
  return [
    [distance, row.fid !== undefined && `${row.fid.toFixed(4)}${row.fid_spread === undefined ? "" : ` \u00b1 ${row.fid_spread.toFixed(4)}`}${seeds}`],
    ["of each seed", row.fid_values && row.fid_values.map(fixed(4)).join(", ")],
    [`${distance} that selected it`, row.selection_fid !== undefined && fixed(4)(row.selection_fid)],
    ["verdict", row.verdict && `${row.verdict}${row.fid_change === null ? "" : `: ${row.fid_change.toFixed(4)} \u00b1 ${row.fid_change_error.toFixed(4)} to the best classical solver, seed by seed`}`],
    ["rmse to the teacher", row.rmse !== undefined && fixed(5)(row.rmse)],
    ["best classical rmse", row.classical_rmse && fixed(5)(row.classical_rmse)],
    ["search", row.evaluations !== undefined && `${grouped(row.evaluations)} network evaluations, ${fixed(1)(row.seconds)} s`],
    ["its teacher", row.reference_evaluations !== undefined && `${grouped(row.reference_evaluations)} network evaluations, ${fixed(1)(row.reference_seconds)} s, once for all`],
    ["sampling", row.sampling_evaluations !== undefined && `${grouped(row.sampling_evaluations)} network evaluations`],
    ["worker", row.worker_seconds !== undefined && `${fixed(1)(row.worker_seconds)} s`],
    ["beyond a constraint", row.violated && row.violated.join(", ")],
  ];
}

/** One line that says what a result is. */
function subtitle(row) {
  const state = row.status === "failed" ? "failed" : row.stopped ? "stopped early" : row.final ? "finalist" : "done";
  return [row.kind, row.trial !== undefined && `trial ${row.trial}`, row.model.split("?")[0], `${row.nfe} steps`, `guidance ${row.guidance}`, row.grid && `grid ${row.grid}`, state].filter(Boolean).join(" \u00b7 ");
}

/** A chart with a caption. */
function panel(head, about, build) {
  const chart = h("div", { class: "chart" });
  return { figure: h("figure", {}, h("figcaption", {}, h("b", {}, head), about), chart), show: () => draw(chart, head, build) };
}

/** The charts of a result's solver. */
function solverPanels(row) {
  const solver = solverOf(row);
  if (!solver || solver.error) return [];
  const panels = [
    panel("Weights of each step", "1 is a uniform Euler step", (colors) => weightsChart(colors, solver)),
    panel("Times", "Marks are states, crosses are queries where they are elsewhere", (colors) => timesChart(colors, [row])),
  ];
  if (closeupOf(row)) panels.push(panel("Error on the way", "Rmse to the teacher after each step, on 32 noises of the evaluation", (colors) => errorsChart(colors, [row])));
  for (const [stage, points] of Object.entries(solver.history || {})) {
    if (points.length) panels.push(panel(`Loss of ${stage}`, "In the units of its objective", (colors) => lossChart(colors, points)));
  }
  const rungs = Object.entries(row.fid_by_samples || {}).map(([count, fid]) => [Number(count), fid]);
  if (rungs.length > 1) panels.push(panel(`${distanceOf(row)} by samples`, "A distance falls with their number", (colors) => {
    const { data, layout } = lossChart(colors, rungs);
    data[0].hovertemplate = "%{x} samples<br>%{y:.4f}<extra></extra>";
    return { data, layout: { ...layout, xaxis: { ...layout.xaxis, title: { text: "samples" } }, yaxis: { ...layout.yaxis, title: { text: distanceOf(row) } } } };
  }));
  return panels;
}

/** How to go on with a solver. */
function usage(row) {
  const file = `runs/${DATA.name}/${row.bundle}`;
  const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replace(/'/g, "'\\''")}'`);
  const verbs = [`dss-ray sample ${quoted(file)} --model ${quoted(row.model)} -o grid.png --compare ab2,teacher`, `dss-ray evaluate ${quoted(file)} --model ${quoted(row.model)}`, `dss-ray export ${quoted(file)} -o solvers`];
  return h("pre", { tabindex: "0" }, verbs.join("\n"));
}

/** All of a result's page below its head. */
function trialBody(row, panels) {
  const solver = solverOf(row);
  const run = DATA.runs[row.key];
  const picture = DATA.pictures[row.key];
  const search = (solver && solver.search) || {};
  return [
    h("p", { class: "about" }, subtitle(row)),
    row.error && h("p", { class: "note bad" }, row.error),
    solver && solver.error && h("p", { class: "note bad" }, `Its bundle cannot be read: ${solver.error}`),
    h("div", { class: "pair" }, h("div", {}, h("h3", {}, "Figures"), facts([...figuresOf(row), ["MLflow", run && h("a", { href: run, rel: "noreferrer" }, "the run of this trial")]])),
      row.params && h("div", {}, h("h3", {}, "What was swept"), facts(Object.entries(row.params).map(([name, value]) => [name, value === null ? "-" : short(value)])))),
    panels.length ? h("div", { class: "pair" }, panels.map((one) => one.figure)) : null,
    picture && [h("h3", {}, "Samples, on the same noises as the teacher's"), h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Samples" }, h("img", { src: picture, alt: `Samples of the teacher and of ${row.solver}`, class: "picture" }))],
    row.bundle && solver && !solver.error && [h("h3", {}, "Use it"), usage(row),
      h("details", {}, h("summary", {}, "Where it comes from"), facts([["bundle", row.bundle], ["key", row.key], ["created", solver.created], ["searched on", solver.model], ["fingerprint of its weights", solver.fingerprint],
        ["search seed", search.seed?.toString()], ["samples of the search", search.samples && grouped(search.samples)], ["start", search.start], ["grid", search.grid],
        ...Object.entries(search.settings || {}).map(([name, value]) => [name, short(value)]), ...Object.entries(solver.versions).map(([name, value]) => [name, value])]))],
  ].flat().filter(Boolean);
}

/** The result of an address, if there is one. */
function named(text) {
  try { return ROWS.get(decodeURIComponent(text)); } catch { return undefined; } // no valid address
}

/** Open the page of the trial that the address names, or close it. */
function route() {
  const row = location.hash.startsWith("#trial-") ? named(location.hash.slice(7)) : undefined;
  forget(page);
  if (!row) return page.open && page.close();
  const panels = solverPanels(row);
  const leave = h("button", { type: "button" }, "Close");
  leave.addEventListener("click", () => page.close());
  const body = h("div", {}, trialBody(row, panels));
  page.replaceChildren(h("div", { class: "bar" }, h("h2", { id: "trial-head" }, mark(row.kind), row.solver), leave), body);
  if (!page.open) page.showModal();
  page.scrollTop = 0;
  panels.forEach((one) => one.show());
}

page.addEventListener("close", () => {
  forget(page);
  if (location.hash.startsWith("#trial-")) history.replaceState(null, "", "#");
});
page.addEventListener("click", (event) => event.target === page && page.close());
