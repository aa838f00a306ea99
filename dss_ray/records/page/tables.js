"use strict";
// Elements, numbers as people read them, and tables that sort by a click on a head.

/** An element; every text of a sweep becomes a text node, never markup. */
function h(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== undefined && child !== null));
  return made;
}

const MARKS = {
  searched: "M5 0A5 5 0 1 1 5 10A5 5 0 1 1 5 0Z",
  classical: "M0.5 0.5H9.5V9.5H0.5Z",
  published: "M5 -0.5L10.5 5L5 10.5L-0.5 5Z",
};

/** The mark of a kind of solver, as in the charts. */
function mark(kind) {
  const space = "http://www.w3.org/2000/svg";
  const icon = document.createElementNS(space, "svg");
  const shape = document.createElementNS(space, "path");
  for (const [name, value] of Object.entries({ class: "mark", viewBox: "-1 -1 12 12", role: "img", "aria-label": kind })) {
    icon.setAttribute(name, value);
  }
  shape.setAttribute("d", MARKS[kind]);
  shape.setAttribute("fill", `var(--${kind})`);
  icon.append(shape);
  return icon;
}

const fixed = (digits) => (value) => (value === undefined ? "-" : value.toFixed(digits));
const grouped = (value) => (value === undefined ? "-" : Math.round(value).toLocaleString("en"));
const short = (value) => {
  if (typeof value !== "number") return String(value);
  return value !== 0 && Math.abs(value) < 1e-3 ? String(Number(value.toPrecision(3)).toExponential()) : String(Number(value.toPrecision(4)));
};
const listed = (items) => (items.length < 2 ? items.join("") : `${items.slice(0, -1).join(", ")} and ${items.at(-1)}`);

/** A definition list of [name, value] pairs; values are texts or elements; absent ones are left out. */
function facts(pairs, name = "plain") {
  const given = pairs.filter(([, value]) => value);
  return h("dl", { class: name }, given.map(([head, value]) => h("div", name === "plain" ? { style: "display:contents" } : {}, h("dt", {}, head), h("dd", {}, value))));
}

/**
 * A table in a box of its own that scrolls.
 * columns: {head, value(row) to sort by, cell(row) to show, number: whether right-aligned, name: a class}
 */
function table(label, columns, rows, look = () => "", tall = false) {
  const body = h("tbody");
  const heads = columns.map((column) => h("th", { scope: "col", class: column.number ? "num" : undefined }, h("button", { type: "button" }, column.head)));
  const lines = new Map(rows.map((row) => [row, h("tr", { class: look(row) || undefined }, columns.map((column) => h("td", { class: column.number ? "num" : column.name }, (column.cell || column.value)(row) ?? "-")))]));
  body.append(...lines.values());
  heads.forEach((head, place) => {
    head.firstChild.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      body.append(...sorted(rows, columns[place].value, down ? -1 : 1).map((row) => lines.get(row)));
    });
  });
  const box = h("div", { class: tall ? "scroll tall" : "scroll", tabindex: "0", role: "region", "aria-label": `${label}, a table` },
    h("table", {}, h("thead", {}, h("tr", {}, heads)), body));
  return { box, lines };
}

/** Rows in the order of a value; those that have none come last. */
function sorted(rows, value, sign) {
  const missing = (row) => value(row) === undefined || value(row) === null;
  return [...rows].sort((one, other) => {
    if (missing(one) || missing(other)) return missing(one) - missing(other);
    const [a, b] = [value(one), value(other)];
    return sign * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
  });
}
