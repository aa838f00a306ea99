// The document that the page carries, and what is often asked of it.

const DATA = JSON.parse(document.getElementById("data").textContent);
const ROWS = new Map(DATA.rows.map((row) => [row.key, row]));
for (const one of DATA.fronts) {
  for (const entry of one.board) Object.assign(ROWS.get(entry.key), entry);
}
const place = (name) => document.getElementById(name);
const solverOf = (row) => DATA.solvers[row.key];
const closeupOf = (row) => DATA.closeups[row.key];
const selection = (row) => row.selection_fid ?? row.fid;
const distanceOf = (row) =>
  (DATA.fronts.find((one) => one.model === row.model) || { distance: "FID" }).distance;
const entriesOf = (front) => front.board.map((entry) => ROWS.get(entry.key));
const trialLink = (row, text) => h("a", { href: `#trial-${encodeURIComponent(row.key)}` }, text);
const notes = (about) => (DATA.notes[about] || []).map((sentence) => h("p", { class: "note" }, sentence));

/** How a result ended. */
function stateOf(row) {
  if (row.status === "failed") return "failed";
  if (row.stopped) return "stopped early";
  if (row.violated) return "beyond a constraint";
  return row.final ? "finalist" : "done";
}

/** A distance with its spread over seeds, if it has one. */
function withSpread(row, digits) {
  if (row.fid === undefined) return "-";
  const spread = row.fid_spread === undefined ? "" : ` \u00b1 ${row.fid_spread.toFixed(digits)}`;
  return row.fid.toFixed(digits) + spread;
}

// What is chosen: a model, and a step count.
const state = { front: DATA.fronts[0], nfe: undefined };
