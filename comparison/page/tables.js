// The data, elements that hold texts and never markup, and the tables of runs, classes and images.

const data = JSON.parse(document.getElementById("data").textContent);
const { runs, groups } = data;
const label = (group) => groups[group].label;
const title = (name) => data.names[name].title;
const numbers = Object.keys(runs.numbers);
/** Settings that are not the same in all of a table. */
const leading = runs.keys.filter((key) => key.follows === null);
const COSTS = ["seconds", "images_per_second", "num_parameters", "multiply_adds"];
const part = (name) => (selector) => document.querySelector(`#${name} ${selector}`);

function make(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** A name that may break behind dots, strokes and underscores and before capitals. */
function breakable(name) {
  return name.split(/(?<=[._/])(?!\d)|(?<=[a-z])(?=[A-Z])/).flatMap((piece) => [make("wbr"), piece]).slice(1);
}

/** A labelled select. Options are pairs of value and text. */
function choice(name, options, chosen, changed) {
  const items = options.map(([value, text]) => make("option", { value, selected: String(value) === String(chosen) }, text));
  return make("label", {}, name, make("select", { onchange: (event) => changed(event.target.value) }, ...items));
}

function checkbox(name, checked, changed) {
  return make("label", { class: "tick" }, make("input", { type: "checkbox", checked, onchange: (event) => changed(event.target.checked) }), name);
}

const button = (text, onclick, attributes = {}) => make("button", { type: "button", onclick, ...attributes }, text);
const cell = (text, attributes = {}) => make("td", { class: "number", ...attributes }, text);

(() => { // runs
  const find = part("runs"), MORE = 50;
  const columns = [
    { name: "run", text: (run) => String(run + 1), value: (run) => run, number: true },
    ...leading.slice(0, 8).map(({ name, levels, exact, codes, values }) => ({
      name, text: (run) => levels[codes[run]], exact: (run) => exact[codes[run]], value: (run) => codes[run], number: values !== null,
    })),
    { name: "seed", text: (run) => String(runs.seed[run]), value: (run) => runs.seed[run], number: true },
    ...[...new Set([data.metric, ...COSTS])].filter((name) => numbers.includes(name)).map((name) => ({
      name: title(name), text: (run) => runs.numbers[name].texts[run], value: (run) => runs.numbers[name].values[run] ?? NaN, number: true,
    })),
  ];
  let words = [], sorted = columns[0], sign = 1, most = MORE;

  function matches(run) {
    const text = [...columns.map((column) => column.text(run)), runs.folder[run]].join("\n").toLowerCase();
    return words.every((word) => text.includes(word));
  }

  function compare(a, b) {
    const [first, second] = [sorted.value(a), sorted.value(b)];
    return Number.isNaN(first) - Number.isNaN(second) || sign * (first - second) || a - b; // missing numbers last
  }

  function heading(column) {
    const state = column !== sorted ? "none" : sign > 0 ? "ascending" : "descending";
    const sort = () => {
      sign = sorted === column ? -sign : 1;
      sorted = column;
      paint();
      find(`th:nth-child(${columns.indexOf(column) + 1}) button`).focus();
    };
    return make("th", { scope: "col", "aria-sort": state, class: column.number ? "number" : null }, make("button", { type: "button", onclick: sort }, ...breakable(column.name)));
  }

  function row(run) {
    const open = button(String(run + 1), null, { "aria-label": `open run ${run + 1}: ${label(runs.group[run])}, seed ${runs.seed[run]}` });
    const cells = columns.slice(1).map((column) => cell(column.text(run) || "-", { class: column.number ? "number" : null, title: column.exact?.(run) }));
    return make("tr", { onclick: () => openRun(run) }, cell(open), ...cells);
  }

  function paint() {
    const found = [...runs.seed.keys()].filter(matches).sort(compare);
    const body = make("tbody", {}, ...found.slice(0, most).map(row));
    find("table").replaceChildren(make("thead", {}, make("tr", {}, ...columns.map(heading))), body);
    const shown = found.length > most ? `, shown: ${most}` : "";
    find(".count").textContent = `${found.length.toLocaleString("en")} of ${runs.seed.length.toLocaleString("en")} runs${shown}`;
    find(".more").replaceChildren(...(shown ? [button(`${MORE} more`, () => { most += MORE; paint(); })] : []));
  }

  find(".controls").append(make("label", {}, "filter", make("input", {
    type: "search", placeholder: "words in any column", size: 28,
    oninput: (event) => { words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean); most = MORE; paint(); },
  })));
  paint();
})();

/** Show one run: its folder, the settings that differ, every number, its curves. */
function openRun(run) {
  const dialog = document.getElementById("details");
  const row = (kind) => ([name, text]) => make("tr", {}, make("th", { scope: "row" }, ...breakable(name)), make("td", { class: kind }, ...breakable(text)));
  const settings = [...runs.keys.map(({ name, exact, levels, codes }) => [name, exact[codes[run]] ?? levels[codes[run]]]), ["seed", String(runs.seed[run])]];
  const shown = numbers.map((name) => [title(name), runs.numbers[name].texts[run]]).filter(([, text]) => text);
  const curves = make("div", { class: "small" });
  dialog.replaceChildren(
    button("close", () => dialog.close(), { class: "close" }),
    make("h2", { id: "details-title" }, `Run ${run + 1}: ${label(runs.group[run])}, seed ${runs.seed[run]}`),
    make("h3", {}, "Folder"), make("code", {}, runs.folder[run]),
    make("h3", {}, "See it again"), make("code", {}, `python compare.py ${runs.quoted[run]} --cost`),
    make("h3", {}, "Settings that differ between the runs"), make("table", { class: "facts" }, ...settings.map(row(null))),
    make("h3", {}, "Numbers"), make("table", { class: "facts" }, ...shown.map(row("number"))),
    make("h3", {}, "Curves"), curves,
  );
  dialog.showModal();
  dialog.scrollTop = 0;
  drawRun(curves, run);
}

(() => { // classes
  const find = part("classes"), MOST = 40;
  const all = data.classes.flatMap((test) => test.differences.map((difference) => ({ test, difference })));
  let chosen = 0, whole = false;
  const heading = (text, kind) => make("th", { scope: "col", class: kind }, text);

  function paint() {
    const { test, difference } = all[chosen];
    const order = [...difference.values.keys()].sort((a, b) => difference.values[b] - difference.values[a] || a - b);
    const cutOff = !whole && order.length > MOST;
    const largest = Math.max(...difference.values.map(Math.abs)) || 1;
    const row = (place) => {
      const bar = make("i", { class: difference.values[place] < 0 ? "down" : "up" });
      bar.style.width = `${(50 * Math.abs(difference.values[place])) / largest}%`;
      const texts = [difference.ours, difference.theirs, test.counts].map((column) => cell(String(column[place])));
      return make("tr", {}, make("th", { scope: "row" }, test.classes[place]), cell(difference.texts[place]), make("td", { class: "bar" }, make("div", { class: "track" }, bar)), ...texts);
    };
    const head = [heading("class"), heading("difference, %", "number"), make("td", { class: "bar" }), ...["this group, %", "baseline, %", "images"].map((text) => heading(text, "number"))];
    const shown = cutOff ? [...order.slice(0, MOST / 2), ...order.slice(-MOST / 2)] : order;
    find("table").replaceChildren(make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...shown.map(row)));
    const seeds = `baseline: ${label(difference.baseline)}; over ${difference.seeds} seed${difference.seeds > 1 ? "s" : ""}`;
    const extremes = cutOff ? `; the ${MOST / 2} largest gains and the ${MOST / 2} largest losses ` : " ";
    const toggle = button(cutOff ? `all ${order.length} classes` : "fewer classes", () => { whole = !whole; paint(); });
    find(".more").replaceChildren(seeds + extremes, ...(order.length > MOST ? [toggle] : []));
  }

  if (!all.length) {
    find(".lead").textContent = "No group here can be compared with a baseline class by class: that takes predictions of the same test images.";
    find(".wide").remove();
    return;
  }
  find(".controls").append(choice("group", all.map(({ difference }, place) => [place, label(difference.group)]), 0, (value) => { chosen = Number(value); paint(); }));
  paint();
})();

(() => { // images
  const find = part("images");
  const tests = data.images.filter((test) => test.groups.length > 1);
  if (!tests.length) {
    find(".lead").textContent = "No two groups here have predictions of the same test images.";
    return;
  }
  let test, right, wrong;

  /** Begin with two groups that have images to show: one and its baseline if they do, either way round. */
  function begin(chosen) {
    test = chosen;
    const compared = data.classes[data.images.indexOf(test)].differences.flatMap(({ group, baseline }) => [[group, baseline], [baseline, group]]);
    const full = test.pairs.filter((pair) => pair.images.length);
    const first = compared.map(([a, b]) => full.find((pair) => pair.right === a && pair.wrong === b)).find(Boolean) ?? full[0];
    [right, wrong] = first ? [first.right, first.wrong] : test.groups;
    paint();
  }

  function verdict(image, letter, group) {
    const predictions = image.predictions[test.groups.indexOf(group)];
    const count = (some) => some.reduce((sum, { seeds }) => sum + seeds, 0);
    const lines = predictions.map(({ name, seeds, right: good }) => make("div", { class: good ? "right" : "wrong" }, `${good ? "✓" : "✗"} ${name} ×${seeds}`));
    const all = count(predictions);
    return make("div", { class: "said" }, `${letter}: ${count(predictions.filter((each) => each.right))} of ${all} seed${all > 1 ? "s" : ""} right`, ...lines);
  }

  function figure(place) {
    const image = test.images[place];
    const about = `test image ${image.index}, ${image.target}`;
    const caption = make("figcaption", {}, make("strong", {}, image.target), make("div", {}, `image ${image.index}`), verdict(image, "A", right), verdict(image, "B", wrong));
    if (test.images.every(({ picture }) => picture === null)) return make("figure", {}, caption);
    if (image.picture === null) return make("figure", {}, make("div", { class: "none", role: "img", "aria-label": `${about}: no image` }), caption);
    const picture = make("img", { src: image.picture, alt: about, width: 96, height: 96, onload: () => picture.classList.toggle("pixels", picture.naturalWidth < 64) });
    return make("figure", {}, picture, caption);
  }

  function paint() {
    const options = test.groups.map((group) => [group, label(group)]);
    const sets = tests.map((each, place) => [place, `set ${place + 1}: ${each.groups.length} groups`]);
    find(".controls").replaceChildren(
      ...(tests.length > 1 ? [choice("test images", sets, tests.indexOf(test), (value) => begin(tests[value]))] : []),
      choice("A: right more often", options, right, (value) => { right = Number(value); paint(); }),
      choice("B: than", options, wrong, (value) => { wrong = Number(value); paint(); }),
      button("swap", () => { [right, wrong] = [wrong, right]; paint(); }),
    );
    const { images, total } = test.pairs.find((pair) => pair.right === right && pair.wrong === wrong) ?? { images: [], total: null };
    const count = total === null ? "these groups have no seed in common" : `${total.toLocaleString("en")} image${total === 1 ? "" : "s"}${images.length < total ? `, shown: ${images.length}` : ""}`;
    find(".count").textContent = right === wrong ? "choose two groups" : count;
    find(".pictures").replaceChildren(...images.map(figure));
  }

  begin(tests.find(({ images }) => images.length) ?? tests[0]);
})();
