// All results as a table that can be searched, and where they come from.

/** What was chosen for a result under a name; undefined where it does not apply. */
const chosenFor = (row, name) => (row.params || {})[name] ?? undefined;

function resultColumns() {
  const shown = ["nfe", "guidance", "method", "grid"]; // in columns of their own, or in the solver's name
  const names = new Set(DATA.rows.flatMap((row) => Object.keys(row.params || {})));
  const swept = [...names].filter((name) => !shown.includes(name));
  const models = new Set(DATA.rows.map((row) => row.model));
  const grid = (row) => {
    const asked = chosenFor(row, "grid");
    return asked && asked !== row.grid ? `${asked}: ${row.grid}` : row.grid;
  };
  return [
    { head: "trial", number: true, value: (row) => row.trial },
    {
      head: "solver",
      name: "name",
      value: (row) => row.solver,
      cell: (row) => [mark(row.kind), trialLink(row, row.solver)],
    },
    ...(models.size > 1 ? [{ head: "model", value: (row) => row.model.split("?")[0] }] : []),
    { head: "state", value: stateOf },
    { head: "NFE", number: true, value: (row) => row.nfe },
    { head: "guidance", number: true, value: (row) => row.guidance },
    { head: "grid", value: grid },
    ...swept.map((name) => ({
      head: name,
      number: DATA.rows.some((row) => typeof chosenFor(row, name) === "number"),
      value: (row) => chosenFor(row, name),
      cell: (row) => (chosenFor(row, name) === undefined ? "-" : short(chosenFor(row, name))),
    })),
    { head: "distance", number: true, value: (row) => row.fid, cell: (row) => fixed(3)(row.fid) },
    { head: "judged on", number: true, value: (row) => row.samples, cell: (row) => grouped(row.samples) },
    { head: "rmse", number: true, value: (row) => row.rmse, cell: (row) => fixed(4)(row.rmse) },
    {
      head: "evaluations",
      number: true,
      value: (row) => row.evaluations,
      cell: (row) => grouped(row.evaluations),
    },
    { head: "seconds", number: true, value: (row) => row.seconds, cell: (row) => fixed(1)(row.seconds) },
  ];
}

/** All that a filter looks for in a result. */
function textOf(row) {
  const chosen = Object.entries(row.params || {}).map((pair) => pair.join("="));
  const own = [row.key, row.kind, row.solver, row.model, stateOf(row), row.grid, row.error, `nfe=${row.nfe}`];
  return [...own, ...chosen].join(" ").toLowerCase();
}

function showResults() {
  const order = sorted(DATA.rows, (row) => row.trial, 1);
  const made = table("All results", resultColumns(), order, (row) => (row.final ? "strong" : ""), true);
  const texts = new Map(DATA.rows.map((row) => [row, textOf(row)]));
  const filter = () => {
    const words = place("filter")
      .value.toLowerCase()
      .split(/[\s,]+/)
      .filter(Boolean);
    let count = 0;
    for (const [row, line] of made.lines) {
      line.hidden = !words.every((word) => texts.get(row).includes(word));
      count += !line.hidden;
    }
    place("shown").textContent = `${count} of ${DATA.rows.length}`;
  };
  place("filter").addEventListener("input", filter);
  place("rows").replaceChildren(DATA.rows.length ? made.box : h("p", {}, "None yet."));
  filter();
}

/** Nested settings as [a.b, value] pairs; those that are not set are left out. */
function flat(value, name = "") {
  if (value === null || typeof value !== "object") return [[name, value === null ? "" : String(value)]];
  if (Array.isArray(value) && value.every((item) => item === null || typeof item !== "object"))
    return [[name, value.join(", ")]];
  return Object.entries(value).flatMap(([key, inner]) => flat(inner, name ? `${name}.${key}` : key));
}

function showProvenance() {
  const fingerprints = new Map(
    Object.values(DATA.solvers)
      .filter((one) => one.fingerprint)
      .map((one) => [one.model, one.fingerprint]),
  );
  const asked = flat(DATA.settings);
  place("provenance").replaceChildren(
    ...notes("settings"),
    ...notes("runs"),
    ...(asked.length ? [h("h3", {}, "What the sweep was asked"), facts(asked)] : []),
    h("h3", {}, "What it ran on"),
    facts([
      ...Object.entries(DATA.versions),
      ["identity of the sweep", DATA.identity],
      ...[...fingerprints].map(([model, print]) => [`weights of ${model}`, h("code", {}, print)]),
    ]),
  );
}
