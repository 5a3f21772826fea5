// Groups by what they cost and what they reach.

(() => {
  const { in: within } = part("scatter");
  const named = numbers.filter((name) => data.groups.some((group) => group.mean[name] !== undefined));
  const costs = ["multiply_adds", "num_parameters", "seconds", "images_per_second"].filter((name) => named.includes(name));
  const differs = (name) => new Set(data.groups.map((group) => group.mean[name])).size > 1; // else all marks are one below another
  let x = costs.find(differs) ?? costs[0] ?? named[0], y = data.metric, log = true;
  const MOST = 1000;

  function paint() {
    const points = data.groups.map((group, number) => ({ number, group, x: group.mean[x], y: group.mean[y] })).filter((each) => each.x !== undefined && each.y !== undefined).slice(0, MOST);
    const inLog = log && points.every((each) => each.x > 0);
    const xRange = extent(points.map((each) => each.x), inLog, 0.08);
    if (!xRange) {
      within(".chart").replaceChildren(make("p", { class: "count" }, "no group has both numbers"));
      return;
    }
    const spread = (each) => each.group.std[y] ?? 0;
    const yRange = extent(points.flatMap((each) => [each.y - spread(each), each.y + spread(each)]));
    const at = frame(within(".chart"), `${title(y)} against ${title(x)}, ${points.length} groups`, { range: xRange, title: unit(x), log: inLog, share: data.names[x].share }, { range: yRange, title: title(y), share: data.names[y].share }, 380);
    at.svg.setAttribute("role", "group"); // its marks can be reached one by one
    for (const each of points) {
      const [left, up] = [at.x(each.x), at.y(each.y)];
      const told = `${label(each.number)}: ${title(y)} ${each.group.texts[y]}; ${title(x)} ${each.group.texts[x]}`;
      const tell = (on) => () => { within(".readout").textContent = on ? told : ""; };
      if (spread(each)) at.svg.append(draw("line", { class: `spread ${look(each.number).class}`, x1: left, x2: left, y1: at.y(each.y - spread(each)), y2: at.y(each.y + spread(each)) }));
      const shape = mark(each.number, left, up, { tabindex: 0, role: "img", "aria-label": told, onpointerenter: tell(true), onpointerleave: tell(false), onfocus: tell(true), onblur: tell(false), "data-group": each.number });
      shape.append(draw("title", {}, told));
      at.svg.append(shape);
    }
    const shownInLegend = points.slice(0, 40).map((each) => make("button", { type: "button", onclick: () => raise(at.svg, each.number) }, swatch(each.number, true), label(each.number)));
    if (points.length > 40) shownInLegend.push(make("span", {}, `and ${points.length - 40} more: point at a mark`));
    within(".legend").replaceChildren(...shownInLegend);
  }

  /** Put a group's mark over all others, and say what it is. */
  function raise(svg, group) {
    const shape = svg.querySelector(`[data-group="${group}"]`);
    svg.append(shape);
    shape.focus({ preventScroll: true });
  }

  const unit = (name) => (name === "multiply_adds" ? "multiply-adds of one image" : name === "seconds" ? "seconds of training" : title(name));
  const options = named.map((name) => [name, title(name)]);
  within(".controls").append(
    choice("across", options, x, (value) => { x = value; paint(); }),
    choice("up", options, y, (value) => { y = value; paint(); }),
    tick("log axis", log, (on) => { log = on; paint(); }),
  );
  redrawn(within(".chart"), paint);
})();
