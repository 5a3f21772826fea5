// Scales, ticks and the frame of a chart; colours and dashes of groups.

const DASHES = ["", "7 3", "2 3", "9 3 2 3", "16 4", "9 3 2 3 2 3"];
const look = (group) => ({ class: `c${data.groups[group].colour}`, dash: DASHES[data.groups[group].style % DASHES.length] });

/** From values to pixels; `log` is only for ranges above 0. */
function scale(low, high, start, end, log = false) {
  const to = log ? Math.log10 : (value) => value;
  const span = to(high) - to(low) || 1;
  const at = (value) => start + ((to(value) - to(low)) / span) * (end - start);
  at.back = (place) => {
    const value = to(low) + ((place - start) / (end - start)) * span;
    return log ? 10 ** value : value;
  };
  return Object.assign(at, { low, high, log });
}

/** A range that has its ends a little beyond the values; null where there are none. */
function extent(values, log = false, room = 0.05) {
  const known = values.filter((value) => value !== null && value !== undefined && (!log || value > 0));
  if (!known.length) return null;
  let low = Infinity, high = -Infinity;
  for (const value of known) { low = Math.min(low, value); high = Math.max(high, value); }
  if (log) {
    const factor = Math.max((high / low) ** room, 1.2);
    return [low / factor, high * factor];
  }
  const margin = (high - low) * room || Math.abs(high) * 0.05 || 0.05;
  return [low - margin, high + margin];
}

/** Round numbers within a range: about so many, and at least two. */
function ticks(low, high, count, log = false) {
  const within = (values) => values.filter((value) => value >= low && value <= high);
  if (log) {
    const powers = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) powers.push(10 ** power);
    const coarse = within(powers), fine = within(powers.flatMap((power) => [power, 2 * power, 5 * power]));
    const found = coarse.length > 1 && fine.length > count ? coarse : fine;
    const every = Math.ceil(found.length / Math.max(2, count));
    return found.length > 1 ? found.filter((_, number) => number % every === 0) : ticks(low, high, count);
  }
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((digit) => digit * power).find((each) => each >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step / 1e6; value += step) found.push(Math.abs(value) < step / 1e6 ? 0 : value);
  return found.length > 1 ? found : ticks(low, high, 2 * count);
}

/** Texts of ticks: as many digits as tell evenly spaced ones apart, else each its own; thousands as k, M, G. */
function tickTexts(values, share, even = true) {
  const shown = share ? values.map((value) => 100 * value) : values;
  const gap = even ? Math.min(...shown.slice(1).map((value, number) => Math.abs(value - shown[number]))) : Infinity;
  return shown.map((value) => {
    if (Math.abs(value) > 0 && Math.abs(value) < 1e-4) return (+value.toPrecision(4)).toExponential();
    const [size, letter] = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]].find(([least]) => Math.abs(value) >= Math.max(least, 1e4)) ?? [1, ""];
    if (!Number.isFinite(gap)) return `${+(value / size).toPrecision(4)}${letter}`;
    const digits = Math.min(8, Math.max(0, -Math.floor(Math.log10((gap / size) * 1.0001))));
    const told = (value / size).toFixed(digits);
    return letter ? `${+told}${letter}` : told;
  });
}

/**
 * Draw an empty chart into a holder.
 * x, y: { range, title, share, log }; returns { svg, x, y, width, height } with scales.
 */
function frame(holder, name, x, y, height = 340) {
  const width = Math.max(260, holder.clientWidth);
  const yTicks = ticks(...y.range, height / 60, y.log);
  const yTexts = tickTexts(yTicks, y.share, !y.log);
  const left = 18 + 7 * Math.max(...yTexts.map((text) => text.length), 2);
  const box = { left, right: width - 20, top: 30, bottom: height - 44 };
  const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": name });
  const at = { x: scale(...x.range, box.left, box.right, x.log), y: scale(...y.range, box.bottom, box.top, y.log) };
  yTicks.forEach((value, number) => {
    const place = at.y(value);
    svg.append(draw("line", { class: "grid", x1: box.left, x2: box.right, y1: place, y2: place }));
    svg.append(draw("text", { class: "tick", x: box.left - 6, y: place + 4, "text-anchor": "end" }, yTexts[number]));
  });
  const xTicks = x.whole ? ticks(...x.range, Math.min(width / 80, Math.max(1, x.range[1] - x.range[0]))).filter(Number.isInteger) : ticks(...x.range, width / 110, x.log);
  tickTexts(xTicks, x.share, !x.log).forEach((text, number) => {
    const place = at.x(xTicks[number]);
    svg.append(draw("line", { class: "axis", x1: place, x2: place, y1: box.bottom, y2: box.bottom + 5 }));
    svg.append(draw("text", { class: "tick", x: place, y: box.bottom + 19, "text-anchor": "middle" }, text));
  });
  svg.append(draw("line", { class: "axis", x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom }));
  svg.append(draw("text", { x: 4, y: 14 }, y.title + (y.log ? " (log)" : "")));
  svg.append(draw("text", { x: box.right, y: height - 6, "text-anchor": "end" }, x.title + (x.log ? " (log)" : "")));
  holder.replaceChildren(svg);
  return { svg, ...at, width, height, box };
}

/** A line through points, broken where a value is missing. */
function path(xs, ys, at) {
  let text = "", pen = "M";
  xs.forEach((x, number) => {
    const y = ys[number];
    if (y === null || y === undefined || (at.y.log && y <= 0)) { pen = "M"; return; }
    text += `${pen}${at.x(x).toFixed(1)} ${at.y(y).toFixed(1)}`;
    pen = "L";
  });
  return text;
}

/** What stands for a line of one value. */
function dot(group, x, y, at) {
  return y === null ? "" : draw("circle", { class: `mark ${look(group).class}`, r: 4, cx: at.x(x), cy: at.y(y) });
}

/** The shape of a group's mark: one for each style, so that colour is not all that tells. */
function mark(group, x, y, attributes = {}) {
  const shapes = [
    "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0", "M-5.5-5.5h11v11h-11z", "M0-7L7 5.5H-7z",
    "M0-7.5L7.5 0 0 7.5-7.5 0z", "M0 7L7-5.5H-7z", "M-2-7h4v5h5v4h-5v5h-4v-5h-5v-4h5z",
  ];
  const { class: colour } = look(group);
  const d = shapes[data.groups[group].style % shapes.length];
  return draw("path", { ...attributes, d, class: `mark ${colour}`, transform: `translate(${x} ${y})` });
}

/** A small sample of a group's line or mark. */
function swatch(group, asMark) {
  const { class: colour, dash } = look(group);
  const line = draw("line", { class: `series mean ${colour}`, x1: 0, x2: 26, y1: 7, y2: 7, "stroke-dasharray": dash });
  return draw("svg", { width: asMark ? 16 : 26, height: 14, viewBox: `0 0 ${asMark ? 16 : 26} 14`, "aria-hidden": "true" }, asMark ? mark(group, 8, 7) : line);
}
