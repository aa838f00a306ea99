// Draws all parts, then the trial that the address names.

showHeader();
choice(
  place("fronts"),
  "front",
  DATA.fronts.map((one, number) => [
    number,
    DATA.fronts.filter((other) => other.model === one.model).length > 1
      ? `${one.short} ${one.distance}`
      : one.short,
  ]),
  0,
  (number) => {
    state.front = DATA.fronts[number];
    showFront();
  },
);
place("fronts").hidden = DATA.fronts.length < 2;
if (DATA.fronts.length) showFront();
else
  for (const name of ["leaderboard", "closer", "depends"])
    place(name).hidden = document.querySelector(`nav a[href="#${name}"]`).hidden = true;
showTransfer();
showResults();
showProvenance();
addEventListener("hashchange", route);
route();
