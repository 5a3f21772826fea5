const element = id => document.getElementById(id), about = JSON.parse(element("about").textContent);
const MOST_PIXELS = 16e6; // canvases of phones hold no more
let session;

function say(text, bad = false) {
  element("status").textContent = text;
  element("status").className = bad ? "bad" : "dim";
}

async function unpack(id) {
  const text = element(id).textContent.trim();
  element(id).remove();
  let bytes;
  if (Uint8Array.fromBase64) bytes = Uint8Array.fromBase64(text);
  else {
    const binary = atob(text);
    bytes = new Uint8Array(binary.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  }
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function ask(pixels) {
  const {height, width, channels} = about.input, count = pixels.length / (height * width * channels);
  return session.run({pixels: new ort.Tensor("uint8", pixels, [count, channels, height, width])});
}

async function draw(bitmap, sx, sy, width, height, to = [width, height]) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = to;
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.fillStyle = "white";
  context.fillRect(0, 0, ...to);
  context.drawImage(bitmap, sx, sy, width, height, 0, 0, ...to);
  return context.getImageData(0, 0, ...to).data;
}

async function pixelsOf(blob) {
  const bitmap = await createImageBitmap(blob, {
    imageOrientation: "from-image",
    colorSpaceConversion: "none",
    premultiplyAlpha: "none",
  });
  const {width, height} = bitmap;
  try {
    if (width * height <= MOST_PIXELS)
      return {pixels: prepare(await draw(bitmap, 0, 0, width, height), width, height, about.input), width, height};
    const rows = Math.max(1, Math.floor(MOST_PIXELS / width)), to = about.input.width; // in strips, each to its width
    const narrow = new Uint8ClampedArray(to * height * 4);
    for (let y = 0; y < height; y += rows) {
      const count = Math.min(rows, height - y);
      narrow.set(resizeWidth(await draw(bitmap, 0, y, width, count), width, count, to), y * to * 4);
    }
    return {pixels: prepare(narrow, to, height, about.input), width, height};
  } finally {
    bitmap.close();
  }
}

function bar(name, probability) {
  const item = document.createElement("li"), row = document.createElement("div"), fill = document.createElement("div");
  const [label, value, track] = ["b", "span", "div"].map(tag => document.createElement(tag));
  row.className = "row";
  track.className = "track";
  fill.className = "fill";
  label.textContent = name;
  value.textContent = `${(100 * probability).toFixed(1)} %`;
  fill.style.width = `${100 * probability}%`;
  row.append(label, value);
  track.append(fill);
  item.append(row, track);
  return item;
}

function show(prediction, probabilities) {
  element("top").replaceChildren();
  if (about.kind === "sequence") {
    element("answer").textContent = prediction.filter(k => k >= 0).map(k => about.classes[k]).join("") || "no text";
    return;
  }
  element("answer").textContent = prediction[0] < 0 ? "none of them" : about.classes[prediction[0]];
  const order = probabilities.map((value, k) => [value, k]).sort((a, b) => b[0] - a[0] || a[1] - b[1]);
  element("top").append(...order.slice(0, 5).map(([value, k]) => bar(about.classes[k], value)));
}

async function look(blob) {
  element("seen").hidden = true; // an earlier answer must not stay beside what cannot be read
  const start = performance.now();
  let image;
  try {
    image = await pixelsOf(blob);
  } catch {
    say(`This browser cannot read that as a picture (${blob.type || "of unknown kind"}).`, true);
    return;
  }
  const prepared = performance.now(), out = await ask(image.pixels), done = performance.now();
  const prediction = Array.from(out.prediction.data, Number), probabilities = Array.from(out.probabilities.data);
  URL.revokeObjectURL(element("photo").src);
  element("photo").src = URL.createObjectURL(blob);
  show(prediction, probabilities);
  const took = `${(done - prepared).toFixed(0)} ms, and ${(prepared - start).toFixed(0)} ms to read the picture`;
  const meaning = about.calibrated ? "" : " The percentages are a convention of the loss, no measure of certainty.";
  element("note").textContent = `${image.width} × ${image.height} px, ${took}.${meaning}`;
  element("seen").hidden = false;
  say(window.checked, !window.same);
  window.last = {prediction, probabilities, pixels: Array.from(image.pixels)};
}

async function check() {
  const {expected} = about, out = await ask(await unpack("check"));
  const gaps = expected.probabilities.flat(3).map((value, i) => Math.abs(value - out.probabilities.data[i]));
  window.worst = Math.max(...gaps);
  const answers = expected.prediction.flat().every((value, i) => value === Number(out.prediction.data[i]));
  window.same = answers && window.worst <= expected.tolerance;
  window.checked = window.same
    ? `Checked on this device: ${expected.count} images get the expected answers (within ${window.worst.toExponential(0)}).`
    : `This device gives other answers than expected (by ${window.worst.toExponential(1)}): do not rely on them.`;
}

async function start() {
  element("title").textContent = about.title;
  element("subtitle").textContent = about.subtitle;
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = (await unpack("wasm")).buffer;
  say("Starting the model …");
  session = await ort.InferenceSession.create(await unpack("model"), {executionProviders: ["wasm"]});
  await check();
  say(window.checked, !window.same);
  for (const id of ["file", "camera"])
    element(id).onchange = event => {
      if (event.target.files[0]) look(event.target.files[0]);
      event.target.value = "";
    };
  addEventListener("paste", event => event.clipboardData.files[0] && look(event.clipboardData.files[0]));
  addEventListener("drop", event => event.dataTransfer.files[0] && look(event.dataTransfer.files[0]));
  element("choose").hidden = false;
  window.ready = true;
}

addEventListener("dragover", event => {
  event.preventDefault();
  element("choose").classList.add("over");
});
addEventListener("dragleave", () => element("choose").classList.remove("over"));
addEventListener("drop", event => {
  event.preventDefault();
  element("choose").classList.remove("over");
});
Object.assign(window, {look, pixelsOf, ask});
start().catch(error => {
  say(`The model cannot be started: ${error.message}`, true);
  window.failed = String(error.stack || error);
});
