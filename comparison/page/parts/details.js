// One run: what is particular to it, every number, its curves, where it lies.

function openRun(run) {
  const runs = data.runs;
  const dialog = document.getElementById("details");
  const facts = (pairs, number) => make("table", { class: "facts" }, make("tbody", {}, ...pairs.map(([name, text]) => make("tr", {}, make("th", { scope: "row" }, ...broken(name)), make("td", { class: number ? "number" : null }, ...broken(text))))));
  const settings = [...runs.keys.map((key) => [key.name, key.exact[key.codes[run]] ?? key.levels[key.codes[run]]]), ["seed", String(runs.seed[run])]];
  const known = numbers.map((name) => [title(name), runs.numbers[name].texts[run]]).filter(([, text]) => text !== "");
  const half = Math.ceil(known.length / 2);
  const small = make("div", { class: "small" });
  const curves = data.curves.runs[run];
  dialog.replaceChildren(
    make("button", { type: "button", class: "close", onclick: () => dialog.close() }, "close"),
    make("h2", { id: "details-title" }, `Run ${run + 1}: ${label(runs.group[run])}, seed ${runs.seed[run]}`),
    make("h3", {}, "Folder"), make("code", {}, runs.folder[run]),
    make("h3", {}, "See it again"), make("code", {}, `python compare.py ${runs.quoted[run]} --cost`),
    make("h3", {}, "Settings that differ between the runs"), facts(settings, false),
    make("h3", {}, "Numbers"), make("div", { class: "columns" }, facts(known.slice(0, half), true), facts(known.slice(half), true)),
    make("h3", {}, "Curves"), small,
  );
  dialog.showModal();
  dialog.scrollTop = 0;
  if (!curves) small.append(make("p", {}, "This page has no curves of this run: see the notes above the curves."));
  for (const [name, values] of Object.entries(curves ? curves.values : {})) {
    const holder = make("div", { class: "chart" });
    small.append(holder);
    const at = frame(holder, `${title(name)} of run ${run + 1}`, { range: epochRange([curves.epoch]), title: "epoch", whole: true }, { range: extent(values), title: title(name), share: data.names[name].share }, 170);
    at.svg.append(draw("path", { class: `series mean ${look(runs.group[run]).class}`, d: path(curves.epoch, values, at) }));
    if (values.length === 1) at.svg.append(dot(runs.group[run], curves.epoch[0], values[0], at));
  }
}

/** From the first epoch of some runs to their last. */
function epochRange(lists) {
  const ends = lists.flatMap((epochs) => [epochs[0], epochs[epochs.length - 1]]);
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  return low === high ? [low - 1, high + 1] : [low, high];
}
