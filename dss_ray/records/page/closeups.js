// The best solvers of one step count, up close, and what the sweep's figures depend on.

/** The samples of teacher and solvers, row by row. */
function strips(rows) {
  const shown = rows.filter((row) => closeupOf(row) && closeupOf(row).strip);
  if (!shown.length) return null;
  const lines = [...new Set(shown.map((row) => closeupOf(row).teacher))].flatMap((name) => {
    const taught = shown.filter((row) => closeupOf(row).teacher === name);
    return [
      ["teacher", null, DATA.teachers[name], `guidance ${taught[0].guidance}`],
      ...taught.map((row) => [
        row.solver,
        row.kind,
        closeupOf(row).strip,
        `${distanceOf(row)} ${fixed(3)(row.fid)}`,
      ]),
    ];
  });
  return h(
    "figure",
    { class: "wide" },
    h(
      "figcaption",
      {},
      h("b", {}, "Samples"),
      "All rows begin at the same noises, which no search has seen.",
    ),
    h(
      "div",
      { class: "strips" },
      lines.flatMap(([name, kind, source, about]) => [
        h("div", {}, kind && mark(kind), name, h("br"), h("span", { class: "about" }, about)),
        h("img", { src: source, alt: `Samples of ${name}` }),
      ]),
    ),
  );
}

/** The charts of a searched solver, or of another where there is none. */
function ownPanels(row) {
  const solver = solverOf(row);
  const about = "What each step adds of each velocity; 1 is a uniform Euler step";
  const head = `Weights of ${row.method || row.solver}`;
  const losses = Object.entries(solver.history || {}).filter(([, points]) => points.length > 1);
  return [
    panel(head, about, (colors) => weightsChart(colors, solver)),
    ...losses.map(([stage, points]) =>
      panel(`Its loss in ${stage}`, "In the units of that stage's objective", (colors) =>
        lossChart(colors, points),
      ),
    ),
  ];
}

/** How the trials of the chosen step count came one after the other. */
function coursePanel() {
  const { front, nfe } = state;
  const own = (row) => row.model === front.model && row.nfe === nfe && row.trial !== undefined;
  const trials = DATA.rows.filter((row) => own(row) && selection(row) !== undefined);
  trials.sort((one, other) => one.trial - other.trial);
  const about = `${front.distance} of the selection, trial by trial`;
  const build = (colors) => courseChart(colors, trials);
  return trials.length > 1 ? [panel("How the sweep went", about, build)] : [];
}

function showCloser() {
  const rows = entriesOf(state.front).filter((row) => row.nfe === state.nfe);
  const known = rows.filter((row) => solverOf(row) && !solverOf(row).error);
  const near = known.filter(closeupOf);
  const first = known.find((row) => row.kind === "searched") || known[0];
  const panels = [];
  if (near.length) panels.push(errorsPanel(near));
  if (known.length) panels.push(timesPanel(known), ...ownPanels(first));
  panels.push(...coursePanel());
  const box = place("closeups");
  forget(box);
  const missing = known.length ? null : h("p", { class: "note" }, "No bundle of these solvers is on record.");
  const charts = h(
    "div",
    { class: "pair" },
    panels.map((one) => one.figure),
  );
  box.replaceChildren(...[...notes("closeups"), missing, strips(near), charts].filter(Boolean));
  panels.forEach((one) => one.show());
}

function showImportances() {
  const box = place("importances");
  forget(box);
  const found = Object.keys(state.front.importances).length;
  const one = panel(
    "Importance of each setting",
    "Its share in the differences between trials of the same step count, by itself (fANOVA); distances are those on the most samples that all trials have.",
    (colors) => importanceChart(colors, state.front.importances),
  );
  box.replaceChildren(...(found ? [one.figure] : notes("importances")));
  if (found) one.show();
}
