// Charts, drawn by plotly: curves, accuracy against cost, settings beside results.

const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const SYMBOLS = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross"];
const property = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colour = (group) => property(`--c${groups[group].colour}`);
const dash = (group) => DASHES[groups[group].style % DASHES.length];
/** A text that plotly shows as it is; it reads tags, entities and %{...} in any text. */
const plain = (text) => text.replace(/[&<>%]/g, (letter) => `&#${letter.charCodeAt(0)};`);
const share = (name) => data.names[name].share;
/** A number in the unit of its title: a share in percent. */
const scaled = (value, name) => (share(name) && value !== null && value !== undefined ? 100 * value : value);

function draw(holder, name, traces, layout) {
  const line = { gridcolor: property("--line"), zerolinecolor: property("--line"), linecolor: property("--muted"), automargin: true };
  holder.setAttribute("role", "img");
  holder.setAttribute("aria-label", name);
  Plotly.react(holder, traces, {
    height: 480, margin: { l: 50, r: 12, t: 30, b: 40 }, hovermode: "closest", paper_bgcolor: "transparent", plot_bgcolor: "transparent",
    font: { color: property("--text"), family: "system-ui, sans-serif", size: 12 }, legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", maxheight: 0.35, tracegroupgap: 0 },
    modebar: { bgcolor: "transparent", color: property("--muted"), activecolor: property("--text") },
    ...layout, xaxis: { ...line, ...layout.xaxis }, yaxis: { ...line, ...layout.yaxis },
  }, { displayModeBar: "hover", displaylogo: false, responsive: true, modeBarButtons: [["toImage", "zoom2d", "pan2d", "select2d", "resetScale2d"]] });
}

/** Paint now and when the window's width or the colours change. */
function painted(holder, paint) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  let width = 0;
  new ResizeObserver(() => {
    if (holder.clientWidth === width) return;
    width = holder.clientWidth;
    paint();
  }).observe(holder);
}

/** Each value a weighted mean of those up to it, with weights that fall by `weight` an epoch; missing ones stay so. */
function smooth(values, weight) {
  let sum = 0, mass = 0;
  return values.map((value) => {
    if (value === null) return null;
    sum = weight * sum + value;
    mass = weight * mass + 1;
    return sum / mass;
  });
}

/** The mean over runs at the epochs that all of them have. */
function meanCurve(curves) {
  const maps = curves.map(({ epoch, values }) => new Map(epoch.map((at, place) => [at, values[place]])));
  const epoch = curves[0].epoch.filter((at) => maps.every((map) => (map.get(at) ?? null) !== null));
  return { epoch, values: epoch.map((at) => maps.reduce((sum, map) => sum + map.get(at), 0) / maps.length) };
}

function curve(group, name, { epoch, values }, attributes) {
  const digits = share(name) ? ".2f" : ".5~g";
  return {
    x: epoch, y: values.map((value) => scaled(value, name)), mode: epoch.length > 1 ? "lines" : "markers", legendgroup: String(group),
    meta: plain(label(group)), hovertemplate: `%{meta}, epoch %{x}: %{y:${digits}}<extra></extra>`, ...attributes,
    line: { color: colour(group), dash: dash(group), ...attributes.line }, marker: { color: colour(group) },
  };
}

const byEpoch = (name) => ({ xaxis: { title: { text: "epoch" }, tickformat: ",d" }, yaxis: { title: { text: plain(title(name)) } } });

/** All curves of one run, each in a small chart. */
function drawRun(holder, run) {
  const { epoch, values } = data.curves.runs[run] ?? { values: {} };
  if (!epoch) holder.append(make("p", {}, "This page has no curves of this run: see the notes above the curves."));
  for (const name of Object.keys(values)) {
    const chart = make("div", { class: "chart" });
    holder.append(chart);
    const trace = curve(runs.group[run], name, { epoch, values: values[name] }, { showlegend: false });
    draw(chart, `${title(name)} of run ${run + 1}`, [trace], { ...byEpoch(name), height: 200 });
  }
}

(() => { // curves
  const find = part("curves"), holder = find(".chart"), curves = data.curves.runs;
  const numbered = Object.keys(curves).map(Number);
  const own = Map.groupBy(numbered, (run) => runs.group[run]);
  if (!numbered.length) {
    find(".lead").textContent = "No run here has curves.";
    return;
  }
  const monitored = data.metric.replace("test/", "valid/");
  let metric = data.curves.metrics.includes(monitored) ? monitored : data.curves.metrics[0];
  let weight = 0, log = false, hidden = new Set([...own.keys()].slice(8).map(String));

  function paint() {
    const before = holder.data ?? []; // the legend may have hidden and shown groups
    const off = before.filter((trace) => trace.visible === "legendonly").map((trace) => trace.legendgroup);
    hidden = new Set([...off, ...[...hidden].filter((group) => !before.some((trace) => trace.legendgroup === group))]);
    const traces = [...own].flatMap(([group, members]) => {
      const known = members.filter((run) => curves[run].values[metric]);
      const visible = hidden.has(String(group)) ? "legendonly" : true;
      const raw = known.map((run) => ({ epoch: curves[run].epoch, values: curves[run].values[metric] }));
      const lines = raw.map(({ epoch, values }) => ({ epoch, values: smooth(values, weight) }));
      const seed = (run) => ({ meta: `${plain(label(group))}, seed ${runs.seed[run]}` });
      const thin = (curve_, place, opacity, line) => curve(group, metric, curve_, { visible, opacity, line, showlegend: false, ...seed(known[place]) });
      if (!known.length) return [];
      return [
        ...(weight > 0 ? raw.map((each, place) => thin(each, place, 0.2, { width: 1 })) : []),
        ...lines.map((each, place) => thin(each, place, 0.6, { width: 1 })),
        curve(group, metric, meanCurve(lines), { visible, name: plain(label(group)), line: { width: 2.4 } }),
      ];
    });
    const layout = byEpoch(metric);
    draw(holder, `${title(metric)} by epoch, ${numbered.length} runs`, traces, { ...layout, yaxis: { ...layout.yaxis, type: log ? "log" : "linear" } });
  }

  const shown = make("output", {}, "0");
  const slide = (event) => { weight = Number(event.target.value); shown.textContent = event.target.value; paint(); };
  find(".controls").append(
    choice("metric", data.curves.metrics.map((name) => [name, title(name)]), metric, (value) => { metric = value; paint(); }),
    make("label", {}, make("span", {}, "smoothing ", shown), make("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: 0, oninput: slide })),
    checkbox("log axis", log, (on) => { log = on; paint(); }),
  );
  painted(holder, paint);
})();

(() => { // accuracy against cost
  const find = part("scatter"), holder = find(".chart"), MOST = 1000;
  const measured = numbers.filter((name) => groups.some((group) => group.mean[name] !== undefined));
  const differs = (name) => new Set(groups.map((group) => group.mean[name])).size > 1;
  const costs = COSTS.toReversed().filter((name) => measured.includes(name));
  let x = costs.find(differs) ?? costs[0] ?? measured[0], y = data.metric, log = true;

  function paint() {
    const traces = groups.slice(0, MOST).map((group, place) => ({
      x: [scaled(group.mean[x], x)], y: [scaled(group.mean[y], y)], error_y: { array: [scaled(group.std[y] ?? 0, y)] }, mode: "markers", name: plain(label(place)),
      marker: { color: colour(place), symbol: SYMBOLS[group.style % SYMBOLS.length], size: 11, opacity: 0.8 },
      hoverinfo: "text", hovertext: plain(`${label(place)}: ${title(y)} ${group.texts[y]}; ${title(x)} ${group.texts[x]}`),
    })).filter((trace) => trace.x[0] !== undefined && trace.y[0] !== undefined);
    const positive = traces.every((trace) => trace.x[0] > 0);
    draw(holder, `${title(y)} against ${title(x)}, ${traces.length} groups`, traces, {
      showlegend: true, xaxis: { title: { text: plain(title(x)) }, type: log && positive ? "log" : "linear" }, yaxis: { title: { text: plain(title(y)) } },
    });
  }

  const options = measured.map((name) => [name, title(name)]);
  find(".controls").append(
    choice("across", options, x, (value) => { x = value; paint(); }),
    choice("up", options, y, (value) => { y = value; paint(); }),
    checkbox("log axis", log, (on) => { log = on; paint(); }),
  );
  painted(holder, paint);
})();

(() => { // settings beside results: parallel coordinates of lines, as plotly's own kind needs WebGL and code made of texts
  const find = part("parallel"), holder = find(".chart"), MOST_LINES = 500, MOST_ROOM = 220;
  const first = new Map(); // group -> one of its runs, whose settings are the group's
  runs.group.forEach((group, run) => { if (!first.has(group)) first.set(group, run); });
  const drawn = [...first.keys()].slice(0, MOST_LINES);
  const settings = leading.slice(0, 5).map(({ name, levels, codes, values }) => {
    const at = drawn.map((group) => codes[first.get(group)]);
    const spread = values !== null && levels.length > 12; // many numbers have an axis to scale
    return { title: name, values: spread ? at.map((code) => values[code]) : at, ticks: spread ? null : levels };
  });
  const measured = [...new Set([data.metric, ...COSTS])].filter((name) => numbers.includes(name)).map((name) => ({
    title: title(name), values: drawn.map((group) => groups[group].mean[name] ?? null), texts: drawn.map((group) => groups[group].texts[name]?.split(" ")[0]), ticks: null,
  }));
  const distinct = ({ values }) => new Set(values.filter((value) => value !== null)).size;
  const axes = [...settings, ...measured].filter((axis) => distinct(axis) > 1);
  const constant = [...settings, ...measured].filter((axis) => distinct(axis) === 1).map((axis) => `${axis.title} ${axis.ticks ? axis.ticks[axis.values[0]] : axis.texts.find(Boolean)}`);
  const ruler = make("canvas").getContext("2d");

  /** Where an axis has its ends, its ticks and each group, from 0 to 1; in logarithms where values lie far apart. */
  function place(axis) {
    const known = axis.values.filter((value) => value !== null);
    const [low, high] = axis.ticks ? [0, axis.ticks.length - 1] : [Math.min(...known), Math.max(...known)];
    const to = low > 0 && high > 20 * low ? Math.log : (value) => value;
    const at = (value) => (value === null ? null : (to(value) - to(low)) / (to(high) - to(low)));
    const text = (value) => axis.texts?.[axis.values.indexOf(value)] ?? String(value);
    const every = Math.ceil((axis.ticks?.length ?? 2) / 18);
    const ticks = axis.ticks ? axis.ticks.map((level, code) => [at(code), level]).filter((_, code) => code % every === 0) : [[0, text(low)], [1, text(high)]];
    return { ...axis, at: axis.values.map(at), ticks, title: axis.title + (to === Math.log ? " (log)" : "") };
  }

  function paint() {
    ruler.font = "12px system-ui, sans-serif";
    const long = (text) => ruler.measureText(text).width;
    const cut = (text) => { while (long(text) > MOST_ROOM) text = `${text.slice(0, -2)}…`; return text; };
    const placed = axes.map(place);
    const rooms = placed.map(({ title: name, ticks }) => Math.min(MOST_ROOM, Math.max(long(name), ...ticks.map(([, text]) => long(text)))) + 36);
    const needed = rooms.reduce((sum, room) => sum + room, 10);
    const width = Math.max(holder.parentElement.clientWidth, needed);
    let left = 10;
    placed.forEach((axis, number) => { axis.x = left; left += rooms[number] + (width - needed) / rooms.length; });
    const traces = drawn.map((group, line) => ({
      x: placed.map((axis) => axis.x), y: placed.map((axis) => axis.at[line]), mode: "lines+markers", showlegend: false, line: { color: colour(group), dash: dash(group) },
      marker: { color: colour(group), size: 5 }, unselected: { marker: { opacity: 1 } }, hoverinfo: "text",
      hovertext: plain([label(group), ...Object.keys(groups[group].texts).filter((name) => name === data.metric || COSTS.includes(name)).map((name) => `${title(name)} ${groups[group].texts[name]}`)].join("; ")),
    }));
    const note = (axis, y, text, attributes) => ({ x: axis.x, y, text: plain(cut(text)), hovertext: plain(text), xanchor: "left", showarrow: false, bgcolor: property("--card"), borderpad: 1, xshift: 6, ...attributes });
    draw(holder, `${drawn.length} groups along ${axes.map((axis) => axis.title).join(", ")}`, traces, {
      width, height: 400, margin: { l: 0, r: 0, t: 30, b: 10 }, dragmode: "select",
      xaxis: { visible: false, range: [0, width], fixedrange: true }, yaxis: { visible: false, range: [-0.06, 1.16], fixedrange: true },
      shapes: placed.map(({ x }) => ({ type: "line", layer: "below", x0: x, x1: x, y0: 0, y1: 1, line: { color: property("--muted"), width: 1 } })),
      annotations: placed.flatMap((axis) => [note(axis, 1.12, axis.title, { xshift: -6, font: { weight: 600 } }), ...axis.ticks.map(([y, text]) => note(axis, y, text))]),
    });
  }

  /** Keep the groups that have, on each axis with something within a box, a point within it. */
  function select(event) {
    const within = Map.groupBy(event?.points ?? [], (point) => point.pointNumber);
    const sets = [...within.values()].map((points) => new Set(points.map((point) => point.curveNumber)));
    const kept = drawn.map((_, line) => sets.every((set) => set.has(line)));
    Plotly.restyle(holder, { opacity: kept.map((keep) => (keep ? 1 : 0.08)) });
    tell(drawn.filter((_, line) => kept[line]));
  }

  function tell(kept) {
    const limit = groups.length > drawn.length ? `; drawn: the first ${drawn.length}` : "";
    find(".readout").textContent = `${kept.length === 1 ? label(kept[0]) : `${kept.length} of ${groups.length} groups`}${limit}`;
  }

  const followers = Map.groupBy(runs.keys.filter((key) => key.follows !== null), (key) => key.follows);
  find(".constant").textContent = [
    ...(constant.length ? [`The same everywhere: ${constant.join("; ")}.`] : []),
    ...[...followers].map(([owner, keys]) => `Determined by ${owner}: ${keys.map((key) => key.name).join(", ")}.`),
  ].join(" ");
  if (!axes.length) return;
  tell(drawn);
  paint();
  painted(holder.parentElement, paint);
  holder.on("plotly_selected", select);
  holder.on("plotly_deselect", select);
})();
