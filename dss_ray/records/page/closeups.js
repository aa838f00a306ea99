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

function showCloser() {
  const box = place("closeups");
  const rows = entriesOf(state.front).filter((row) => row.nfe === state.nfe);
  const known = rows.filter((row) => solverOf(row) && !solverOf(row).error);
  const panels = [],
    searched = known.find((row) => row.kind === "searched");
  const near = known.filter(closeupOf);
  if (near.length)
    panels.push(
      panel(
        "Error along the trajectory",
        "Rmse to the teacher after each step, on 32 noises of the evaluation",
        (colors) => errorsChart(colors, near),
      ),
    );
  if (known.length)
    panels.push(
      panel("Times", "Marks are states, crosses are queries where they are elsewhere", (colors) =>
        timesChart(colors, known),
      ),
    );
  for (const row of searched ? [searched] : known.slice(0, 1)) {
    panels.push(
      panel(
        `Weights of ${row.method || row.solver}`,
        "What each step adds of each velocity; 1 is a uniform Euler step",
        (colors) => weightsChart(colors, solverOf(row)),
      ),
    );
    for (const [stage, points] of Object.entries(solverOf(row).history || {})) {
      if (points.length > 1)
        panels.push(
          panel(`Its loss in ${stage}`, "In the units of that stage's objective", (colors) =>
            lossChart(colors, points),
          ),
        );
    }
  }
  const trials = DATA.rows.filter(
    (row) =>
      row.model === state.front.model &&
      row.nfe === state.nfe &&
      row.trial !== undefined &&
      selection(row) !== undefined,
  );
  if (trials.length > 1)
    panels.push(
      panel("How the sweep went", `${state.front.distance} of the selection, trial by trial`, (colors) =>
        courseChart(
          colors,
          trials.sort((a, b) => a.trial - b.trial),
          safe(state.front.distance),
        ),
      ),
    );
  forget(box);
  const samples = strips(near);
  const missing = panels.length
    ? []
    : [h("p", { class: "note" }, "No bundle of these solvers is on record.")];
  box.replaceChildren(
    ...notes("closeups"),
    ...missing,
    ...(samples ? [samples] : []),
    h(
      "div",
      { class: "pair" },
      panels.map((one) => one.figure),
    ),
  );
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
