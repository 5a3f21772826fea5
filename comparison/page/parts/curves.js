// Curves of metrics.csv over each other, smoothed as wished; groups are shown and hidden by the legend.

/**
 * Exponential smoothing without the bias of its start: each value is a weighted mean of those up to it, with weights
 * that fall by `weight` an epoch. Missing values stay missing.
 */
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
  const maps = curves.map(({ epoch, values }) => new Map(epoch.map((each, number) => [each, values[number]])));
  const epoch = curves[0].epoch.filter((each) => maps.every((map) => map.get(each) !== undefined && map.get(each) !== null));
  return { epoch, values: epoch.map((each) => maps.reduce((sum, map) => sum + map.get(each), 0) / maps.length) };
}

(() => {
  const { section, in: within } = part("curves");
  const { metrics, runs } = data.curves;
  if (!metrics.length) {
    within(".lead").textContent = "No run here has curves.";
    return;
  }
  const monitored = data.metric.replace("test/", "valid/");
  let metric = metrics.includes(monitored) ? monitored : metrics[0];
  let weight = 0, log = false, start = 0;
  const known = Object.keys(runs).map(Number);
  const groups = [...new Set(known.map((run) => data.runs.group[run]))];
  const hidden = new Set(groups.slice(8));

  function paint() {
    const shown = known.filter((run) => runs[run].values[metric] && !hidden.has(data.runs.group[run]));
    const lines = shown.map((run) => {
      const raw = runs[run].values[metric];
      const later = (list) => list.filter((_, number) => runs[run].epoch[number] >= start);
      return { run, group: data.runs.group[run], epoch: later(runs[run].epoch), raw: later(raw), values: later(smooth(raw, weight)) };
    }).filter((line) => line.epoch.length);
    const range = extent(lines.flatMap((line) => [...line.values, ...line.raw]), log);
    if (!range) {
      within(".chart").replaceChildren(make("p", { class: "count" }, "nothing to draw: no group is chosen, or none has this metric"));
      return;
    }
    const name = `${title(metric)} by epoch, ${lines.length} runs`;
    const at = frame(within(".chart"), name, { range: epochRange(lines.map((line) => line.epoch)), title: "epoch", whole: true }, { range, title: title(metric), share: data.names[metric].share, log }, 380);
    if (weight > 0) for (const line of lines) at.svg.append(draw("path", { class: `series raw ${look(line.group).class}`, d: path(line.epoch, line.raw, at) }));
    for (const line of lines) at.svg.append(draw("path", { class: `series seed ${look(line.group).class}`, "stroke-dasharray": look(line.group).dash, "data-run": line.run, d: path(line.epoch, line.values, at) }));
    for (const line of lines.filter((each) => each.epoch.length === 1)) at.svg.append(dot(line.group, line.epoch[0], line.values[0], at));
    for (const group of groups.filter((each) => !hidden.has(each))) {
      const own = lines.filter((line) => line.group === group);
      if (own.length) {
        const { epoch, values } = meanCurve(own);
        at.svg.append(draw("path", { class: `series mean ${look(group).class}`, "stroke-dasharray": look(group).dash, "data-group": group, d: path(epoch, values, at) }));
      }
    }
    at.svg.addEventListener("pointermove", (event) => point(event, at, lines));
    at.svg.addEventListener("pointerleave", () => { within(".readout").textContent = ""; });
  }

  /** Say what is nearest to the pointer. */
  function point(event, at, lines) {
    const edge = at.svg.getBoundingClientRect();
    const [x, y] = [event.clientX - edge.left, event.clientY - edge.top];
    let best = null, least = 40 ** 2;
    for (const line of lines) line.epoch.forEach((epoch, number) => {
      if (line.values[number] === null || (log && line.values[number] <= 0)) return;
      const distance = (at.x(epoch) - x) ** 2 + (at.y(line.values[number]) - y) ** 2;
      if (distance < least) [least, best] = [distance, { line, epoch, value: line.values[number] }];
    });
    for (const each of at.svg.querySelectorAll(".seed")) each.classList.toggle("hot", best !== null && Number(each.dataset.run) === best.line.run);
    within(".readout").textContent = best === null ? "" : `${label(best.line.group)}, seed ${data.runs.seed[best.line.run]}, epoch ${best.epoch}: ${title(metric)} ${written(best.value, metric)}${weight > 0 ? ", smoothed" : ""}`;
  }

  function legend() {
    const button = (group) => make("button", {
      type: "button", "aria-pressed": String(!hidden.has(group)),
      onclick: (event) => {
        hidden.has(group) ? hidden.delete(group) : hidden.add(group);
        event.currentTarget.setAttribute("aria-pressed", String(!hidden.has(group)));
        paint();
      },
    }, swatch(group, false), label(group));
    const all = (on) => () => { groups.forEach((group) => (on ? hidden.delete(group) : hidden.add(group))); legend(); paint(); };
    within(".legend").replaceChildren(make("button", { type: "button", onclick: all(true) }, "all"), make("button", { type: "button", onclick: all(false) }, "none"), ...groups.map(button));
  }

  const told = make("output", {}, "0");
  const slider = make("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: 0, oninput: (event) => { weight = Number(event.target.value); told.textContent = event.target.value; paint(); } });
  within(".controls").append(
    choice("metric", metrics.map((name) => [name, title(name)]), metric, (value) => { metric = value; paint(); }),
    make("label", {}, make("span", {}, "smoothing ", told), slider),
    make("label", {}, "from epoch", make("input", { type: "number", min: 1, step: 1, value: 1, oninput: (event) => { start = Number(event.target.value) || 0; paint(); } })),
    tick("log axis", log, (on) => { log = on; paint(); }),
  );
  legend();
  redrawn(section.querySelector(".chart"), paint);
})();
