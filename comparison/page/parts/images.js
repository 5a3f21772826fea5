// Test images that one group gets right and another wrong, with what each says.

(() => {
  const { in: within } = part("images");
  const tests = data.images.filter((test) => test.groups.length > 1);
  if (!tests.length) {
    within(".lead").textContent = "No two groups here have predictions of the same test images.";
    return;
  }
  let test = tests.find((each) => each.images.length) ?? tests[0], right, wrong;

  /** Begin with two groups that have images to show: one and its baseline if they do, either way round. */
  function begin() {
    const compared = data.classes[data.images.indexOf(test)].differences.flatMap(({ group, baseline }) => [[group, baseline], [baseline, group]]);
    const full = test.pairs.filter((pair) => pair.images.length);
    const wanted = compared.map(([a, b]) => full.find((pair) => pair.right === a && pair.wrong === b)).find(Boolean);
    const { right: a, wrong: b } = wanted ?? full[0] ?? { right: test.groups[0], wrong: test.groups[1] };
    [right, wrong] = [a, b];
  }

  function controls() {
    const groups = test.groups.map((group) => [group, label(group)]);
    const sets = tests.map((each, number) => [number, `set ${number + 1}: ${each.groups.length} groups`]);
    within(".controls").replaceChildren(...[
      tests.length > 1 ? choice("test images", sets, tests.indexOf(test), (value) => { test = tests[Number(value)]; begin(); controls(); paint(); }) : null,
      choice("A: right more often", groups, right, (value) => { right = Number(value); paint(); }),
      choice("B: than", groups, wrong, (value) => { wrong = Number(value); paint(); }),
      make("button", { type: "button", onclick: () => { [right, wrong] = [wrong, right]; controls(); paint(); } }, "swap"),
    ].filter(Boolean));
  }

  function told(image, letter, group) {
    const said = image.predictions[test.groups.indexOf(group)];
    const count = (some) => some.reduce((sum, each) => sum + each.seeds, 0);
    const words = said.map((each) => make("div", { class: each.right ? "right" : "wrong" }, `${each.right ? "✓" : "✗"} ${each.name} ×${each.seeds}`));
    const all = count(said);
    const head = `${letter}: ${count(said.filter((each) => each.right))} of ${all} seed${all > 1 ? "s" : ""} right`;
    return make("div", { class: "said" }, head, ...words);
  }

  function figure(number) {
    const image = test.images[number];
    const about = `test image ${image.index}, ${image.target}`;
    const some = test.images.some((each) => each.picture !== null);
    const picture = !some ? "" : image.picture === null ? make("div", { class: "none", role: "img", "aria-label": `${about}: no picture` }) : make("img", { src: image.picture, alt: about, width: 96, height: 96 });
    if (image.picture !== null) picture.addEventListener("load", () => picture.classList.toggle("pixels", picture.naturalWidth < 64));
    return make("figure", {}, picture, make("figcaption", {}, make("strong", {}, image.target), make("div", {}, `image ${image.index}`), told(image, "A", right), told(image, "B", wrong)));
  }

  function paint() {
    const pair = test.pairs.find((each) => each.right === right && each.wrong === wrong);
    const shown = pair ? pair.images : [];
    const count = pair ? pair.total : 0;
    within(".count").textContent = right === wrong ? "choose two groups" : pair ? `${count.toLocaleString("en")} image${count === 1 ? "" : "s"}${shown.length < count ? `, shown: ${shown.length}` : ""}` : "these groups have no seed in common";
    within(".pictures").replaceChildren(...shown.map(figure));
  }

  begin();
  controls();
  paint();
})();
