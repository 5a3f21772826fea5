// The table of runs: sorted by any column, filtered by words and settings, fifty rows at a time.

const COSTS = ["seconds", "images_per_second", "num_parameters", "multiply_adds"];

(() => {
  const PAGE = 50, MOST = 500; // rows at a time; values to choose from
  const { in: within } = part("runs");
  const runs = data.runs;
  const count = runs.seed.length;
  const shownNumbers = new Set([data.metric, ...COSTS].filter((name) => numbers.includes(name)));
  const shownKeys = new Set(leading.slice(0, 8).map((key) => key.name));
  const chosen = new Map(); // key -> number of the level that rows must have
  let words = [], sorted = null, reversed = false, page = 0;

  const columns = () => [
    { name: "run", text: (run) => String(run + 1), value: (run) => run, number: true },
    ...runs.keys.filter((key) => shownKeys.has(key.name)).map((key) => ({
      name: key.name, text: (run) => key.levels[key.codes[run]], exact: (run) => key.exact[key.codes[run]], value: (run) => key.codes[run], number: key.values !== null,
    })),
    { name: "seed", text: (run) => String(runs.seed[run]), value: (run) => runs.seed[run], number: true },
    ...numbers.filter((name) => shownNumbers.has(name)).map((name) => ({
      name: title(name), text: (run) => runs.numbers[name].texts[run], value: (run) => runs.numbers[name].values[run], number: true,
    })),
  ];

  function matching(shown) {
    const found = [];
    for (let run = 0; run < count; run++) {
      if (![...chosen].every(([key, level]) => runs.keys[key].codes[run] === level)) continue;
      if (words.length) {
        const text = [...shown.map((column) => column.text(run)), runs.folder[run]].join("\n").toLowerCase();
        if (!words.every((word) => text.includes(word))) continue;
      }
      found.push(run);
    }
    const by = shown.find((column) => column.name === sorted);
    if (by) {
      const sign = reversed ? -1 : 1;
      const missing = (value) => value === null || value === undefined;
      found.sort((a, b) => {
        const [first, second] = [by.value(a), by.value(b)];
        if (missing(first) || missing(second)) return missing(first) - missing(second) || a - b; // always last
        return sign * (first - second) || a - b;
      });
    }
    return found;
  }

  function heading(column) {
    const state = column.name !== sorted ? "none" : reversed ? "descending" : "ascending";
    const sort = () => {
      reversed = sorted === column.name && !reversed;
      sorted = column.name;
      page = 0;
      paint();
      within(`th[data-name="${CSS.escape(column.name)}"] button`)?.focus();
    };
    return make("th", { scope: "col", "aria-sort": state, "data-name": column.name, class: column.number ? "number" : null }, make("button", { type: "button", onclick: sort }, ...broken(column.name)));
  }

  function row(run, shown) {
    const cells = shown.slice(1).map((column) => make("td", { class: column.number ? "number" : null, title: column.exact?.(run) }, column.text(run) || "-"));
    const open = make("button", { type: "button", "aria-label": `open run ${run + 1}: ${label(runs.group[run])}, seed ${runs.seed[run]}` }, String(run + 1));
    return make("tr", { "data-run": run, onclick: () => openRun(run) }, make("td", { class: "number" }, open), ...cells);
  }

  function paint() {
    const shown = columns();
    const found = matching(shown);
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    page = Math.min(page, pages - 1);
    const rows = found.slice(page * PAGE, (page + 1) * PAGE).map((run) => row(run, shown));
    within("table").replaceChildren(make("thead", {}, make("tr", {}, ...shown.map(heading))), make("tbody", {}, ...rows));
    within(".count").textContent = `${found.length.toLocaleString("en")} of ${count.toLocaleString("en")} runs`;
    const turn = (by) => () => { page += by; paint(); };
    const buttons = [
      make("button", { type: "button", disabled: page === 0, onclick: turn(-1) }, "previous"),
      `page ${page + 1} of ${pages}`,
      make("button", { type: "button", disabled: page === pages - 1, onclick: turn(1) }, "next"),
    ];
    within(".pages").replaceChildren(...(pages > 1 ? buttons : []));
  }

  function again() { page = 0; paint(); }

  const filter = make("input", {
    type: "search", placeholder: "words in any column shown", size: 28,
    oninput: (event) => { words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean); again(); },
  });
  const levels = (key) => [["", key.levels.length > MOST ? `all; the first ${MOST} of ${key.levels.length}:` : "all"], ...key.levels.slice(0, MOST).map((text, level) => [level, text, key.exact[level]])];
  const selects = runs.keys.map((key, number) => choice(key.name, levels(key), "", (value) => {
    value === "" ? chosen.delete(number) : chosen.set(number, Number(value));
    again();
  }));
  const offer = () => runs.keys.forEach((key, number) => { selects[number].hidden = !shownKeys.has(key.name) && !chosen.has(number); });
  const flip = (set, name) => (on) => { on ? set.add(name) : set.delete(name); offer(); paint(); };
  const boxes = [
    ...runs.keys.map((key) => tick(key.name, shownKeys.has(key.name), flip(shownKeys, key.name))),
    ...numbers.map((name) => tick(title(name), shownNumbers.has(name), flip(shownNumbers, name))),
  ];
  within(".controls").append(
    make("label", {}, "filter", filter), ...selects,
    make("details", {}, make("summary", {}, "columns"), make("div", {}, ...boxes)),
  );
  offer();
  paint();
})();
