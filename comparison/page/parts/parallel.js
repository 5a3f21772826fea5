// Parallel coordinates: an axis for each setting that differs, then for the metric and for what it cost.

(() => {
  const { in: within } = part("parallel");
  const MOST_LINES = 500, MOST_AXES = 10, MOST_ROOM = 220, HEIGHT = 360, TOP = 42, BOTTOM = HEIGHT - 22;
  const first = new Map(); // group -> one of its runs, whose settings are the group's
  data.runs.group.forEach((group, run) => { if (!first.has(group)) first.set(group, run); });
  const groups = [...first.keys()].slice(0, MOST_LINES);
  const kept = new Map(); // axis -> [low, high] in pixels
  const settings = leading.slice(0, MOST_AXES - 5).map((key) => {
    const codes = groups.map((group) => [group, key.codes[first.get(group)]]);
    if (key.values === null || key.levels.length <= 12) return { title: key.name, levels: key.levels, exact: key.exact, values: new Map(codes) };
    return { title: key.name, values: new Map(codes.map(([group, code]) => [group, key.values[code]])) };
  });
  const measured = [...new Set([data.metric, "seconds", "images_per_second", "num_parameters", "multiply_adds"])].filter((name) => numbers.includes(name)).map((name) => ({
    title: title(name), name, values: new Map(groups.map((group) => [group, data.groups[group].mean[name]])),
  }));
  const known = (axis) => groups.filter((group) => axis.values.get(group) !== undefined);
  const alike = (axis) => new Set(known(axis).map((group) => axis.values.get(group))).size < 2;
  const text = (axis, group) => (axis.levels ? axis.levels[axis.values.get(group)] : data.groups[group].texts[axis.name].split(" ")[0]);
  const everything = [...settings, ...measured].filter((axis) => known(axis).length);
  const axes = everything.filter((axis) => !alike(axis));
  const constant = everything.filter(alike).map((axis) => `${axis.title} ${text(axis, known(axis)[0])}`);

  const place = (axis, group) => {
    const value = axis.values.get(group);
    return value === undefined || value === null ? null : axis.at(value);
  };
  const inside = (group) => [...kept].every(([number, [low, high]]) => {
    const y = place(axes[number], group);
    return y !== null && y >= low && y <= high;
  });
  const ruler = make("canvas").getContext("2d");
  const long = (text) => ruler.measureText(text).width;
  const cut = (text, room) => {
    let shown = text;
    while (long(shown) > room && shown.length > 4) shown = `${shown.slice(0, -2)}…`;
    return shown;
  };

  function paint() {
    const holder = within(".chart");
    ruler.font = `12px ${getComputedStyle(holder).fontFamily}`;
    for (const axis of axes) {
      axis.at = axis.levels ? scale(0, axis.levels.length - 1, BOTTOM - 6, TOP + 6) : measure(known(axis).map((group) => axis.values.get(group)));
      axis.heading = `${axis.title}${axis.at.log ? " (log)" : ""}`;
      axis.ticks = axis.levels ? levelTicks(axis) : axisTicks(axis);
      axis.room = Math.min(MOST_ROOM, Math.max(long(axis.heading) - 14, ...axis.ticks.map(([, text]) => long(text))));
    }
    const needed = axes.reduce((sum, axis) => sum + axis.room + 32, 24);
    const width = Math.max(holder.clientWidth, needed);
    axes.reduce((left, axis) => {
      axis.x = left;
      return left + axis.room + 32 + (width - needed) / axes.length;
    }, 24);
    const svg = draw("svg", { class: "parallel", width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": `${groups.length} groups along ${axes.map((axis) => axis.title).join(", ")}` });
    for (const group of groups) {
      const points = axes.map((axis) => [axis.x, place(axis, group)]).filter(([, y]) => y !== null);
      const told = `${label(group)}: ${measured.map((axis) => `${axis.title} ${data.groups[group].texts[axis.name] ?? "-"}`).join("; ")}`;
      const line = draw("path", {
        class: `series ${look(group).class}`, "stroke-dasharray": look(group).dash, "data-group": group, d: `M${points.map(([left, up]) => `${left.toFixed(1)} ${up.toFixed(1)}`).join("L")}`,
        onpointerenter: () => { svg.classList.add("some"); line.classList.add("hot"); within(".readout").textContent = told; },
        onpointerleave: () => { svg.classList.remove("some"); line.classList.remove("hot"); tell(); },
      });
      svg.append(line);
    }
    axes.forEach((axis, number) => drawAxis(svg, axis, number));
    holder.replaceChildren(svg);
    apply(svg);
  }

  /** A scale from the least value to the largest; in logarithms where they lie far apart. */
  function measure(values) {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return scale(low, high, BOTTOM, TOP, low > 0 && high > 20 * low);
  }

  function drawAxis(svg, axis, number) {
    const { x, room } = axis;
    svg.append(draw("line", { class: "axis", x1: x, x2: x, y1: TOP, y2: BOTTOM }));
    const heading = draw("text", { x: x - 8, y: TOP - 20 }, cut(axis.heading, room + 14));
    heading.append(draw("title", {}, axis.title));
    svg.append(heading);
    for (const [value, text] of axis.ticks) {
      const shown = cut(text, room);
      const tick = draw("text", { class: "tick", x: x + 8, y: axis.at(value) + 4 }, shown);
      tick.append(draw("title", {}, axis.exact?.[value] ?? text));
      svg.append(draw("rect", { class: "plate", x: x + 5, y: axis.at(value) - 8, width: long(shown) + 6, height: 16, rx: 2 }), tick);
    }
    const bar = draw("rect", { class: "brush", x: x - 9, width: 18, y: TOP, height: 0 });
    const grab = draw("rect", { class: "grab", x: x - 12, width: 24, y: TOP - 8, height: BOTTOM - TOP + 16, "data-axis": number });
    svg.append(bar, grab);
    const show = () => {
      const [low, high] = kept.get(number) ?? [TOP, TOP];
      bar.setAttribute("y", low);
      bar.setAttribute("height", high - low);
    };
    show();
    let from = null;
    const y = (event) => Math.min(BOTTOM + 8, Math.max(TOP - 8, event.clientY - svg.getBoundingClientRect().top));
    grab.addEventListener("pointerdown", (event) => { from = y(event); grab.setPointerCapture(event.pointerId); event.preventDefault(); });
    grab.addEventListener("pointermove", (event) => {
      if (from === null) return;
      kept.set(number, [Math.min(from, y(event)), Math.max(from, y(event))]);
      show();
      apply(svg);
    });
    grab.addEventListener("pointerup", (event) => {
      if (from !== null && Math.abs(y(event) - from) < 3) kept.delete(number);
      from = null;
      show();
      apply(svg);
    });
  }

  /** The levels of a setting, as many of them as have room. */
  function levelTicks(axis) {
    const every = Math.ceil(axis.levels.length / 18);
    return axis.levels.map((text, level) => [level, text]).filter(([level]) => level % every === 0);
  }

  /** The ends of an axis, and round numbers between that keep clear of them. */
  function axisTicks(axis) {
    const { low, high, log } = axis.at;
    const share = axis.name !== undefined && data.names[axis.name].share;
    const between = ticks(low, high, 5, log);
    const texts = tickTexts(between, share, !log);
    const clear = (value) => [low, high].every((end) => Math.abs(axis.at(value) - axis.at(end)) > 16);
    const ends = [low, high].map((value) => [value, tickTexts([value], share)[0]]);
    return [...ends, ...between.map((value, number) => [value, texts[number]]).filter(([value]) => clear(value))];
  }

  function apply(svg) {
    for (const line of svg.querySelectorAll("[data-group]")) line.classList.toggle("out", !inside(Number(line.dataset.group)));
    tell();
  }

  function tell() {
    const left = groups.filter(inside);
    const text = left.length === 1 ? label(left[0]) : `${left.length.toLocaleString("en")} of ${data.groups.length.toLocaleString("en")} groups`;
    const limit = data.groups.length > groups.length ? `; drawn: the first ${groups.length.toLocaleString("en")}` : "";
    within(".readout").textContent = (kept.size ? `in the chosen ranges: ${text}` : text) + limit;
  }

  const followers = data.runs.keys.filter((key) => key.follows !== null);
  const following = [...new Set(followers.map((key) => key.follows))].map((owner) => `Told by ${owner}, so without an axis: ${followers.filter((key) => key.follows === owner).map((key) => key.name).join(", ")}.`);
  within(".constant").textContent = [
    constant.length ? `One value each, so without an axis: ${constant.join("; ")}.` : "",
    ...following,
  ].filter(Boolean).join(" ");
  if (axes.length) {
    within(".controls").append(make("button", { type: "button", onclick: () => { kept.clear(); paint(); } }, "free all axes"));
    redrawn(within(".chart"), paint);
  }
})();
