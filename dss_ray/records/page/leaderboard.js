// What the sweep came to: head, leaderboard, fronts and, of a transfer, its maps.

/** The verdicts on the searched solvers of a front in a sentence; nothing where there are none. */
function verdicts(front) {
  const words = {
    better: ["better than", "better"],
    tied: ["tied with", "tied"],
    worse: ["worse than", "worse"],
  };
  const parts = [];
  for (const [verdict, [first, further]] of Object.entries(words)) {
    const counts = entriesOf(front)
      .filter((row) => row.kind === "searched" && row.verdict === verdict)
      .map((row) => row.nfe);
    if (counts.length)
      parts.push(
        `${parts.length ? further : `${first} the best classical solver`} at ${listed(counts)} steps`,
      );
  }
  const who = DATA.fronts.length > 1 ? `On ${front.short} searched solvers` : "Searched solvers";
  return parts.length ? `${who} are ${listed(parts)}, by ${front.distance} on fresh seeds.` : "";
}

/** What a sweep came to, in a sentence or two. */
function lede(done, failed) {
  const found = DATA.fronts.map(verdicts).filter(Boolean).join(" ");
  if (found) return found;
  if (done)
    return "No verdict yet: it takes a searched and a classical solver that were judged again on the same fresh seeds.";
  return failed ? `All ${failed} trials so far failed; their pages say why.` : "No trial is done yet.";
}

function showHeader() {
  const trials = DATA.rows.filter((row) => row.kind === "searched");
  const failed = trials.filter((row) => row.status === "failed").length;
  place("verdict").textContent = lede(trials.length - failed, failed);
  place("running").hidden = !DATA.running;
  place("facts").replaceWith(
    facts(
      [
        ["Models", [...new Set(DATA.rows.map((row) => row.model.split("?")[0]))].join(", ")],
        ["Trials done", grouped(trials.length - failed)],
        ["Failed", failed && grouped(failed)],
        ["Stopped early", DATA.cost.stopped && grouped(DATA.cost.stopped)],
        ["Evaluations, searches", DATA.cost.search_evaluations && grouped(DATA.cost.search_evaluations)],
        ["Evaluations, sampling", DATA.cost.sampling_evaluations && grouped(DATA.cost.sampling_evaluations)],
        ["CPU hours", DATA.cost.cpu_hours && DATA.cost.cpu_hours.toFixed(2)],
        ["GPU hours", DATA.cost.gpu_hours && DATA.cost.gpu_hours.toFixed(2)],
        ["MLflow", DATA.runs[""] && h("a", { href: DATA.runs[""], rel: "noreferrer" }, "the sweep's run")],
      ],
      "facts",
    ),
  );
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
    {
      head: "solver",
      name: "name",
      value: (row) => row.solver,
      cell: (row) => [mark(row.kind), trialLink(row, row.method || row.solver)],
    },
    {
      head: distance,
      number: true,
      value: (row) => row.fid,
      cell: (row) => withSpread(row, 3),
    },
    {
      head: "verdict",
      value: (row) => row.verdict,
      cell: (row) => (row.verdict ? h("span", { class: row.verdict }, SIGNS[row.verdict]) : "-"),
    },
    {
      head: "front",
      value: (row) => (row.front ? 0 : undefined),
      cell: (row) => (row.front ? "on it" : "-"),
    },
    { head: "rmse", number: true, value: (row) => row.rmse, cell: (row) => fixed(4)(row.rmse) },
    { head: "guidance", number: true, value: (row) => row.guidance },
    { head: "grid", value: (row) => row.grid },
    {
      head: "evaluations",
      number: true,
      value: (row) => row.evaluations,
      cell: (row) => grouped(row.evaluations),
    },
    { head: "seconds", number: true, value: (row) => row.seconds, cell: (row) => fixed(1)(row.seconds) },
  ];
}

function showFront() {
  const front = state.front;
  const entries = entriesOf(front);
  place("leaderboard-about").replaceChildren(
    "Per step count the best searched, classical and published solver, chosen on the selection seed; figures with \u00b1 are the mean over fresh seeds and its standard deviation. A verdict compares with the classical solver seed by seed; less is better. On the front: nothing has fewer evaluations and a lower distance.",
  );
  const look = (row) =>
    [
      row.kind === "searched" && "strong",
      entries.find((other) => other.nfe === row.nfe) === row && row !== entries[0] && "first",
    ]
      .filter(Boolean)
      .join(" ");
  place("board").replaceChildren(table("Leaderboard", boardColumns(front.distance), entries, look).box);
  const best = new Set(front.board.map((entry) => entry.key));
  const others = front.comparable
    .map((key) => ROWS.get(key))
    .filter((row) => row.kind === "searched" && !best.has(row.key) && row.fid !== undefined);
  place("front-head").replaceChildren(
    h("b", {}, `${front.distance} against NFE`),
    "Bars are the standard deviation over fresh seeds; a point opens its page.",
  );
  place("rmse-head").replaceChildren(
    h("b", {}, "rmse against NFE"),
    "To the converged teacher at the solver's own guidance.",
  );
  draw(place("front"), `${front.distance} against NFE, of the solvers in the table above`, (colors) =>
    frontChart(colors, entries, others, "fid", "fid_spread"),
  );
  draw(place("rmse"), "rmse against NFE, of the solvers in the table above", (colors) =>
    frontChart(colors, entries, others, "rmse", undefined),
  );
  const counts = [...new Set(entries.map((row) => row.nfe))];
  if (!counts.includes(state.nfe)) state.nfe = counts[Math.floor(counts.length / 2)];
  choice(
    place("counts"),
    "nfe",
    counts.map((nfe) => [nfe, String(nfe)]),
    state.nfe,
    (nfe) => {
      state.nfe = nfe;
      showCloser();
    },
  );
  showCloser();
  showImportances();
}

function showTransfer() {
  if (!DATA.transfer) return;
  const counts = [...new Set(DATA.transfer.cells.rmse.map(([nfe]) => nfe))].sort((a, b) => a - b);
  const field = h("fieldset", { class: "choice" }, h("legend", {}, "Steps"));
  const chosen = { nfe: counts[0] };
  const panels = [
    ["rmse", "rmse"],
    ["fid", "FID"],
  ].map(([figure, name]) =>
    panel(
      `${name} over the best classical solver's`,
      "By where a solver was searched; below 1 the classical one is beaten",
      (colors) => transferChart(colors, DATA.transfer, figure, chosen.nfe),
    ),
  );
  place("transfer").replaceChildren(
    field,
    h(
      "div",
      { class: "pair" },
      panels.map((one) => one.figure),
    ),
  );
  const show = () => panels.forEach((one) => one.show());
  choice(
    field,
    "transfer",
    counts.map((nfe) => [nfe, String(nfe)]),
    chosen.nfe,
    (nfe) => {
      chosen.nfe = nfe;
      show();
    },
  );
  show();
}
