// Verdicts: each row's difference and interval against the rope, with a slider for the number of seeds; mean ranks.

(() => {
  const find = part("verdicts"), holder = find(".chart"), tables = data.verdicts;
  if (!tables.length) {
    find(".lead").textContent = "No row here was compared with a baseline.";
    return;
  }
  let table = tables[0], seeds = 0; // 0: as many as there are
  const names = { better: "better", worse: "worse", same: "same", undecided: "undecided" };
  const colours = { better: "--c2", worse: "--c3", same: "--c0", undecided: "--muted" };
  const NORMAL = 1.959964; // 97.5 % of the normal distribution; Student's t follows by Cornish and Fisher's series
  const student = (df) => NORMAL + (NORMAL ** 3 + NORMAL) / (4 * df) + (5 * NORMAL ** 5 + 16 * NORMAL ** 3 + 3 * NORMAL) / (96 * df ** 2);

  /** Half of the interval's width that so many seeds can be expected to leave. */
  function expected(row, number) {
    const own = row.seed / number, variance = row.images + own;
    const df = row.df * (number - 1) / Math.max(1, row.count - 1);
    return student(Math.min(own > 0 ? variance ** 2 / (own ** 2 / df) : 1e9, 2 * df)) * Math.sqrt(variance);
  }

  function paint() {
    const rows = table.rows, y = rows.map((_, place) => place);
    const half = rows.map((row) => (seeds ? expected(row, seeds) : (row.high - row.low) / 2));
    const what = rows.map((row, place) => `${plain(row.label)}: ${row.value.toPrecision(3)} ± ${half[place].toPrecision(3)}, ${seeds ? `expected of ${seeds} seeds` : names[row.decision]}`);
    const traces = [
      { x: rows.flatMap((row) => row.dots), y: rows.flatMap((row, place) => row.dots.map((_, dot) => place + 0.22 + 0.01 * (dot % 7))), mode: "markers", marker: { size: 5, color: property("--muted"), opacity: 0.6 }, name: "one seed", hovertemplate: "one seed: %{x:.3~g}<extra></extra>" },
      { x: rows.map((row) => row.value), y, mode: "markers", marker: { size: 9, color: rows.map((row) => property(colours[row.decision])) }, error_x: { type: "data", array: half, thickness: 2, color: property("--text") }, name: "difference, 95 % interval", text: what, hovertemplate: "%{text}<extra></extra>" },
    ];
    const band = table.rope === null ? [] : [{ type: "rect", xref: "x", yref: "paper", x0: -table.rope, x1: table.rope, y0: 0, y1: 1, line: { width: 0 }, fillcolor: property("--line"), opacity: 0.6, layer: "below" }];
    draw(holder, `Differences to ${table.baseline} with their intervals`, traces, {
      height: 130 + 46 * rows.length, shapes: band, margin: { l: 10, r: 12, t: 10, b: 40 },
      xaxis: { title: { text: plain(`difference to ${table.baseline}: ${table.metric}`) }, zeroline: true },
      yaxis: { tickvals: y, ticktext: rows.map((row) => plain(`${row.label}: ${row.text}`)), autorange: "reversed" },
    });
  }

  const shown = make("output", {}, "now");
  const slide = (event) => { seeds = Number(event.target.value) < 2 ? 0 : Number(event.target.value); shown.textContent = seeds || "now"; paint(); };
  find(".controls").append(
    choice("table", tables.map((each, place) => [place, each.title]), 0, (value) => { table = tables[value]; paint(); }),
    make("label", {}, make("span", {}, "with so many seeds: ", shown), make("input", { type: "range", min: 1, max: 100, step: 1, value: 1, oninput: slide })),
  );
  painted(holder, paint);
})();

(() => { // the critical-difference diagram
  const find = part("ranks"), holder = find(".chart"), { ranks } = data;
  if (!ranks) {
    document.getElementById("ranks").hidden = true;
    return;
  }
  const groups_ = ranks.ranks.map((rank, place) => ranks.ranks.findLastIndex((other) => ranks.critical !== null && other - rank < ranks.critical)).map((last, first) => [first, last])
    .filter(([first, last], place, all) => last > first && !all.some(([before, end]) => before < first && end >= last));
  const shapes = groups_.map(([first, last], place) => ({ type: "line", x0: ranks.ranks[first] - 0.03, x1: ranks.ranks[last] + 0.03, y0: -0.25 - 0.18 * place, y1: -0.25 - 0.18 * place, line: { width: 5, color: property("--text") } }));
  const paint = () => draw(holder, "Critical-difference diagram of mean ranks", [{
    x: ranks.ranks, y: ranks.ranks.map((_, place) => 0.3 + 0.3 * (place % 4)), mode: "markers+text", text: ranks.rows.map(plain), textposition: "top center",
    marker: { size: 9, color: property("--c0") }, hovertemplate: "%{text}: mean rank %{x:.2f}<extra></extra>", showlegend: false,
  }], { height: 300, shapes, xaxis: { title: { text: "mean rank, 1 is best" }, range: [0.5, ranks.rows.length + 0.5] }, yaxis: { visible: false, range: [-0.35 - 0.18 * groups_.length, 1.6] } });
  painted(holder, paint);
})();
