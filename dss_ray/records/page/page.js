// The parts of the page, from the document that it carries.

const DATA = JSON.parse(document.getElementById("data").textContent);
const ROWS = new Map(DATA.rows.map((row) => [row.key, row]));
for (const one of DATA.fronts) {
  for (const entry of one.board) Object.assign(ROWS.get(entry.key), entry);
}
const state = { front: DATA.fronts[0], nfe: undefined };
const place = (name) => document.getElementById(name);
const solverOf = (row) => DATA.solvers[row.key];
const closeupOf = (row) => DATA.closeups[row.key];
const selection = (row) => row.selection_fid ?? row.fid;
const distanceOf = (row) => (DATA.fronts.find((one) => one.model === row.model) || { distance: "FID" }).distance;
const entriesOf = (front) => front.board.map((entry) => ROWS.get(entry.key));
const trialLink = (row, text) => h("a", { href: `#trial-${encodeURIComponent(row.key)}` }, text);
const notes = (about) => (DATA.notes[about] || []).map((sentence) => h("p", { class: "note" }, sentence));

/** What a chart says of a result. */
function told(row) {
  const spread = row.fid_spread === undefined ? "" : ` \u00b1 ${row.fid_spread.toFixed(3)}`;
  const trial = row.trial === undefined ? row.kind : `trial ${row.trial}`;
  const lines = [`<b>${safe(row.solver)}</b>`, `${trial}, ${row.nfe} steps, guidance ${row.guidance}`];
  if (row.fid !== undefined) lines.push(`${safe(distanceOf(row))} ${row.fid.toFixed(3)}${spread} on ${grouped(row.samples)} samples`);
  if (row.rmse !== undefined) lines.push(`rmse ${row.rmse.toFixed(4)}`);
  return lines.join("<br>");
}

/** The verdicts on the searched solvers of a front in a sentence; nothing where there are none. */
function verdicts(front) {
  const words = { better: ["better than", "better"], tied: ["tied with", "tied"], worse: ["worse than", "worse"] };
  const parts = [];
  for (const [verdict, [first, further]] of Object.entries(words)) {
    const counts = entriesOf(front).filter((row) => row.kind === "searched" && row.verdict === verdict).map((row) => row.nfe);
    if (counts.length) parts.push(`${parts.length ? further : `${first} the best classical solver`} at ${listed(counts)} steps`);
  }
  const who = DATA.fronts.length > 1 ? `On ${front.short} searched solvers` : "Searched solvers";
  return parts.length ? `${who} are ${listed(parts)}, by ${front.distance} on fresh seeds.` : "";
}

/** What a sweep came to, in a sentence or two. */
function lede(done, failed) {
  const found = DATA.fronts.map(verdicts).filter(Boolean).join(" ");
  if (found) return found;
  if (done) return "No verdict yet: it takes a searched and a classical solver that were judged again on the same fresh seeds.";
  return failed ? `All ${failed} trials so far failed; their pages say why.` : "No trial is done yet.";
}

function showHeader() {
  const trials = DATA.rows.filter((row) => row.kind === "searched");
  const failed = trials.filter((row) => row.status === "failed").length;
  place("verdict").textContent = lede(trials.length - failed, failed);
  place("running").hidden = !DATA.running;
  place("facts").replaceWith(facts([
    ["Models", [...new Set(DATA.rows.map((row) => row.model.split("?")[0]))].join(", ")],
    ["Trials done", grouped(trials.length - failed)],
    ["Failed", failed && grouped(failed)],
    ["Stopped early", DATA.cost.stopped && grouped(DATA.cost.stopped)],
    ["Evaluations, searches", DATA.cost.search_evaluations && grouped(DATA.cost.search_evaluations)],
    ["Evaluations, sampling", DATA.cost.sampling_evaluations && grouped(DATA.cost.sampling_evaluations)],
    ["CPU hours", DATA.cost.cpu_hours && DATA.cost.cpu_hours.toFixed(2)],
    ["GPU hours", DATA.cost.gpu_hours && DATA.cost.gpu_hours.toFixed(2)],
    ["MLflow", DATA.runs[""] && h("a", { href: DATA.runs[""], rel: "noreferrer" }, "the sweep's run")],
  ], "facts"));
  place("made").textContent = `on ${DATA.made.replace("T", " ").replace("+00:00", " UTC")}`;
}

/** Buttons of which one is chosen. */
function choice(field, name, values, chosen, pick) {
  field.querySelectorAll("label").forEach((label) => label.remove());
  for (const [value, text] of values) {
    const input = h("input", { type: "radio", name, value, checked: value === chosen });
    input.addEventListener("change", () => pick(value));
    field.append(h("label", {}, input, h("span", {}, text)));
  }
}

const SIGNS = { better: "\u25bc better", worse: "\u25b2 worse", tied: "= tied" };

function boardColumns(distance) {
  return [
    { head: "NFE", number: true, value: (row) => row.nfe },
    { head: "solver", name: "name", value: (row) => row.solver, cell: (row) => [mark(row.kind), trialLink(row, row.method || row.solver)] },
    { head: distance, number: true, value: (row) => row.fid, cell: (row) => (row.fid === undefined ? "-" : `${row.fid.toFixed(3)}${row.fid_spread === undefined ? "" : ` \u00b1 ${row.fid_spread.toFixed(3)}`}`) },
    { head: "verdict", value: (row) => row.verdict, cell: (row) => (row.verdict ? h("span", { class: row.verdict }, SIGNS[row.verdict]) : "-") },
    { head: "front", value: (row) => (row.front ? 0 : undefined), cell: (row) => (row.front ? "on it" : "-") },
    { head: "rmse", number: true, value: (row) => row.rmse, cell: (row) => fixed(4)(row.rmse) },
    { head: "guidance", number: true, value: (row) => row.guidance },
    { head: "grid", value: (row) => row.grid },
    { head: "evaluations", number: true, value: (row) => row.evaluations, cell: (row) => grouped(row.evaluations) },
    { head: "seconds", number: true, value: (row) => row.seconds, cell: (row) => fixed(1)(row.seconds) },
  ];
}

function showFront() {
  const front = state.front;
  const entries = entriesOf(front);
  place("leaderboard-about").replaceChildren("Per step count the best searched, classical and published solver, chosen on the selection seed; figures with \u00b1 are the mean over fresh seeds and its standard deviation. A verdict compares with the classical solver seed by seed; less is better. On the front: nothing has fewer evaluations and a lower distance.");
  const look = (row) => [row.kind === "searched" && "strong", entries.find((other) => other.nfe === row.nfe) === row && row !== entries[0] && "first"].filter(Boolean).join(" ");
  place("board").replaceChildren(table("Leaderboard", boardColumns(front.distance), entries, look).box, ...notes("finals"));
  const best = new Set(front.board.map((entry) => entry.key));
  const others = front.comparable.map((key) => ROWS.get(key)).filter((row) => row.kind === "searched" && !best.has(row.key) && row.fid !== undefined);
  place("front-head").replaceChildren(h("b", {}, `${front.distance} against NFE`), "Bars are the standard deviation over fresh seeds; a point opens its page.");
  place("rmse-head").replaceChildren(h("b", {}, "rmse against NFE"), "To the converged teacher at the solver's own guidance.");
  draw(place("front"), `${front.distance} against NFE, of the solvers in the table above`, (colors) => frontChart(colors, entries, others, "fid", "fid_spread", safe(front.distance)));
  draw(place("rmse"), "rmse against NFE, of the solvers in the table above", (colors) => frontChart(colors, entries, others, "rmse", undefined, "rmse"));
  const counts = [...new Set(entries.map((row) => row.nfe))];
  if (!counts.includes(state.nfe)) state.nfe = counts[Math.floor(counts.length / 2)];
  choice(place("counts"), "nfe", counts.map((nfe) => [nfe, String(nfe)]), state.nfe, (nfe) => { state.nfe = nfe; showCloser(); });
  showCloser();
  showImportances();
}

/** The samples of teacher and solvers, row by row. */
function strips(rows) {
  const shown = rows.filter((row) => closeupOf(row) && closeupOf(row).strip);
  if (!shown.length) return null;
  const lines = [...new Set(shown.map((row) => closeupOf(row).teacher))].flatMap((name) => {
    const taught = shown.filter((row) => closeupOf(row).teacher === name);
    return [["teacher", null, DATA.teachers[name], `guidance ${taught[0].guidance}`], ...taught.map((row) => [row.solver, row.kind, closeupOf(row).strip, `${distanceOf(row)} ${fixed(3)(row.fid)}`])];
  });
  return h("figure", { class: "wide" }, h("figcaption", {}, h("b", {}, "Samples"), "All rows begin at the same noises, which no search has seen."),
    h("div", { class: "strips" }, lines.flatMap(([name, kind, source, about]) => [h("div", {}, kind && mark(kind), name, h("br"), h("span", { class: "about" }, about)), h("img", { src: source, alt: `Samples of ${name}` })])));
}

function showCloser() {
  const box = place("closeups");
  const rows = entriesOf(state.front).filter((row) => row.nfe === state.nfe);
  const known = rows.filter((row) => solverOf(row) && !solverOf(row).error);
  const panels = [], searched = known.find((row) => row.kind === "searched");
  const near = known.filter(closeupOf);
  if (near.length) panels.push(panel("Error on the way", "Rmse to the teacher after each step, on 32 noises of the evaluation", (colors) => errorsChart(colors, near)));
  if (known.length) panels.push(panel("Times", "Marks are states, crosses are queries where they are elsewhere", (colors) => timesChart(colors, known)));
  for (const row of searched ? [searched] : known.slice(0, 1)) {
    panels.push(panel(`Weights of ${row.method || row.solver}`, "What each step adds of each velocity; 1 is a uniform Euler step", (colors) => weightsChart(colors, solverOf(row))));
    for (const [stage, points] of Object.entries(solverOf(row).history || {})) {
      if (points.length > 1) panels.push(panel(`Its loss in ${stage}`, "In the units of that stage's objective", (colors) => lossChart(colors, points)));
    }
  }
  const trials = DATA.rows.filter((row) => row.model === state.front.model && row.nfe === state.nfe && row.trial !== undefined && selection(row) !== undefined);
  if (trials.length > 1) panels.push(panel("How the sweep went", `${state.front.distance} of the selection, trial by trial`, (colors) => courseChart(colors, trials.sort((a, b) => a.trial - b.trial), safe(state.front.distance))));
  forget(box);
  const samples = strips(near);
  const missing = panels.length ? [] : [h("p", { class: "note" }, "No bundle of these solvers is on record.")];
  box.replaceChildren(...notes("closeups"), ...missing, ...(samples ? [samples] : []), h("div", { class: "pair" }, panels.map((one) => one.figure)));
  panels.forEach((one) => one.show());
}

function showImportances() {
  const box = place("importances");
  forget(box);
  const found = Object.keys(state.front.importances).length;
  const one = panel("Importance of each setting", "Its share in the differences between trials of the same step count, by itself (fANOVA); distances are those on the most samples that all trials have.", (colors) => importanceChart(colors, state.front.importances));
  box.replaceChildren(...(found ? [one.figure] : notes("importances")));
  if (found) one.show();
}

function showTransfer() {
  if (!DATA.transfer) return;
  const counts = [...new Set(DATA.transfer.cells.rmse.map(([nfe]) => nfe))].sort((a, b) => a - b);
  const field = h("fieldset", { class: "choice" }, h("legend", {}, "Steps"));
  const chosen = { nfe: counts[0] };
  const panels = [["rmse", "rmse"], ["fid", "FID"]].map(([figure, name]) => panel(`${name} over the best classical solver's`, "below 1 it is beaten there", (colors) => transferChart(colors, DATA.transfer, figure, chosen.nfe)));
  place("transfer").replaceChildren(field, h("div", { class: "pair" }, panels.map((one) => one.figure)));
  const show = () => panels.forEach((one) => one.show());
  choice(field, "transfer", counts.map((nfe) => [nfe, String(nfe)]), chosen.nfe, (nfe) => { chosen.nfe = nfe; show(); });
  show();
}

function showResults() {
  const state = (row) => (row.status === "failed" ? "failed" : row.stopped ? "stopped" : row.violated ? "beyond a constraint" : row.final ? "finalist" : "done");
  const swept = [...new Set(DATA.rows.flatMap((row) => Object.keys(row.params || {})))].filter((name) => !["nfe", "guidance", "method", "grid"].includes(name));
  const columns = [
    { head: "trial", number: true, value: (row) => row.trial },
    { head: "solver", value: (row) => row.solver, name: "name", cell: (row) => [mark(row.kind), trialLink(row, row.solver)] },
    ...(new Set(DATA.rows.map((row) => row.model)).size > 1 ? [{ head: "model", value: (row) => row.model.split("?")[0] }] : []),
    { head: "state", value: state },
    { head: "NFE", number: true, value: (row) => row.nfe },
    { head: "guidance", number: true, value: (row) => row.guidance },
    { head: "grid", value: (row) => (row.params && row.params.grid && row.params.grid !== row.grid ? `${row.params.grid}: ${row.grid}` : row.grid) },
    ...swept.map((name) => ({ head: name, value: (row) => (row.params || {})[name] ?? undefined, cell: (row) => { const value = (row.params || {})[name]; return value === undefined || value === null ? "-" : short(value); }, number: DATA.rows.some((row) => typeof (row.params || {})[name] === "number") })),
    { head: "distance", number: true, value: (row) => row.fid, cell: (row) => fixed(3)(row.fid) },
    { head: "judged on", number: true, value: (row) => row.samples, cell: (row) => grouped(row.samples) },
    { head: "rmse", number: true, value: (row) => row.rmse, cell: (row) => fixed(4)(row.rmse) },
    { head: "evaluations", number: true, value: (row) => row.evaluations, cell: (row) => grouped(row.evaluations) },
    { head: "seconds", number: true, value: (row) => row.seconds, cell: (row) => fixed(1)(row.seconds) },
  ];
  const order = sorted(DATA.rows, (row) => row.trial, 1);
  const made = table("All results", columns, order, (row) => (row.final ? "strong" : ""), true);
  const texts = new Map(DATA.rows.map((row) => [row, [row.key, row.kind, row.solver, row.model, state(row), row.grid, row.error, `nfe=${row.nfe}`, ...Object.entries(row.params || {}).map((pair) => pair.join("="))].join(" ").toLowerCase()]));
  const filter = () => {
    const words = place("filter").value.toLowerCase().split(/[\s,]+/).filter(Boolean);
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
  if (Array.isArray(value) && value.every((item) => item === null || typeof item !== "object")) return [[name, value.join(", ")]];
  return Object.entries(value).flatMap(([key, inner]) => flat(inner, name ? `${name}.${key}` : key));
}

function showProvenance() {
  const fingerprints = new Map(Object.values(DATA.solvers).filter((one) => one.fingerprint).map((one) => [one.model, one.fingerprint]));
  const asked = flat(DATA.settings);
  place("provenance").replaceChildren(...notes("settings"), ...notes("runs"),
    ...(asked.length ? [h("h3", {}, "What the sweep was asked"), facts(asked)] : []),
    h("h3", {}, "What it ran on"), facts([...Object.entries(DATA.versions), ["identity of the sweep", DATA.identity], ...[...fingerprints].map(([model, print]) => [`weights of ${model}`, h("code", {}, print)])]));
}

showHeader();
choice(place("fronts"), "front", DATA.fronts.map((one, number) => [number, DATA.fronts.filter((other) => other.model === one.model).length > 1 ? `${one.short} ${one.distance}` : one.short]), 0, (number) => { state.front = DATA.fronts[number]; showFront(); });
place("fronts").hidden = DATA.fronts.length < 2;
if (DATA.fronts.length) showFront();
else for (const name of ["leaderboard", "closer", "depends"]) place(name).hidden = document.querySelector(`nav a[href="#${name}"]`).hidden = true;
showTransfer();
showResults();
showProvenance();
addEventListener("hashchange", route);
route();
