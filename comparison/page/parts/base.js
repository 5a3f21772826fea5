// What every part uses: the data, elements made without markup, controls.

const data = JSON.parse(document.getElementById("data").textContent);
const SVG = document.getElementById("svg").namespaceURI;

/** Make an element; texts among the children stay texts, whatever they hold. */
function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function draw(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** A name that may break behind dots, strokes and underscores and before capitals. */
function broken(name) {
  return name.split(/(?<=[._/])(?!\d)|(?<=[a-z])(?=[A-Z])/).flatMap((part) => [make("wbr"), part]).slice(1);
}

/** A labelled select. Options are value, text and, perhaps, the text in full. */
function choice(label, options, chosen, changed) {
  const items = options.map(([value, text, title]) => make("option", { value, title, selected: String(value) === String(chosen) }, text));
  return make("label", {}, label, make("select", { onchange: (event) => changed(event.target.value) }, ...items));
}

function tick(label, checked, changed) {
  return make("label", { class: "tick" }, make("input", { type: "checkbox", checked, onchange: (event) => changed(event.target.checked) }), label);
}

/** A part of the page: its element, and those within it that scripts fill. */
function part(name) {
  const section = document.getElementById(name);
  return { section, in: (selector) => section.querySelector(selector) };
}

const title = (name) => data.names[name].title;
const label = (group) => data.groups[group].label;
const numbers = Object.keys(data.runs.numbers);
/** Settings that are shown unasked: those that are not the same in all of a table. */
const leading = data.runs.keys.filter((key) => key.follows === null);

/** A metric's value as the tables have it: shares in percent. */
function written(value, name, signed = false) {
  const sign = signed && value >= 0 ? "+" : "";
  if (data.names[name].share) return sign + (100 * value).toFixed(2);
  return sign + (Math.abs(value) < 1000 ? value.toFixed(4) : Math.round(value).toLocaleString("en"));
}

/** Draw anew when the width changes. */
function redrawn(holder, paint) {
  let width = 0;
  new ResizeObserver(() => {
    if (holder.clientWidth === width) return;
    width = holder.clientWidth;
    paint();
  }).observe(holder);
}

/** Say above a region that it scrolls, where it does. */
for (const region of document.querySelectorAll(".wide")) {
  const hint = make("p", { class: "count scrolls", hidden: true });
  const check = () => {
    const more = [region.scrollWidth > region.clientWidth && "\u2194 wider", region.scrollHeight > region.clientHeight + 1 && "\u2195 longer"].filter(Boolean);
    hint.hidden = !more.length;
    hint.textContent = `${more.join(" and ")} than shown: scroll or use arrow keys`;
  };
  region.before(hint);
  new ResizeObserver(check).observe(region);
  new MutationObserver(check).observe(region, { childList: true, subtree: true });
}
