// The classes that a group gains and loses against its baseline.

(() => {
  const { section, in: within } = part("classes");
  const MOST = 40;
  const all = data.classes.flatMap((test) => test.differences.map((difference) => ({ test, difference })));
  let chosen = 0, whole = false;

  function paint() {
    const { test, difference } = all[chosen];
    const order = difference.values.map((_, number) => number).sort((a, b) => difference.values[b] - difference.values[a] || a - b);
    const cutOff = !whole && order.length > MOST;
    const shown = cutOff ? [...order.slice(0, MOST / 2), ...order.slice(-MOST / 2)] : order;
    const largest = Math.max(...difference.values.map(Math.abs)) || 1;
    const heading = (text, kind) => make("th", { scope: "col", class: kind }, text);
    const head = [
      heading("class"), heading("difference, %", "number"), make("td", { class: "bar" }),
      ...["this group, %", "baseline, %", "images"].map((text) => heading(text, "number")),
    ];
    const row = (number) => {
      const value = difference.values[number];
      const bar = make("i", { class: value < 0 ? "down" : "up" });
      bar.style.width = `${(50 * Math.abs(value)) / largest}%`;
      const cell = (text) => make("td", { class: "number" }, text);
      return make(
        "tr", {}, make("th", { scope: "row" }, test.classes[number]), cell(difference.texts[number]),
        make("td", { class: "bar" }, make("div", { class: "track" }, bar)),
        cell(difference.ours[number]), cell(difference.theirs[number]), cell(String(test.counts[number])),
      );
    };
    within("table").replaceChildren(make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...shown.map(row)));
    const more = make("button", { type: "button", onclick: () => { whole = !whole; paint(); } }, cutOff ? `all ${order.length} classes` : "fewer classes");
    const seeds = `baseline: ${label(difference.baseline)}; over ${difference.seeds} seed${difference.seeds > 1 ? "s" : ""}`;
    within(".more").replaceChildren(cutOff ? `${seeds}; the ${MOST / 2} classes that gain most and the ${MOST / 2} that lose most ` : `${seeds} `, order.length > MOST ? more : "");
  }

  if (!all.length) {
    within(".lead").textContent = "No group here can be compared with a baseline class by class: that takes predictions of the same test images.";
    within(".wide").remove();
    return;
  }
  within(".controls").append(choice("group", all.map(({ difference }, number) => [number, label(difference.group)]), 0, (value) => { chosen = Number(value); paint(); }));
  paint();
})();
