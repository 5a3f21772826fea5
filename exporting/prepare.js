// Pixels of a picture to those that the network was trained on: in integers, so every device gives the same.

function taps(size, to) {
  const scale = size / to, support = Math.max(scale, 1), inverse = scale >= 1 ? 1 / scale : 1;
  const rows = [];
  let largest = 0;
  for (let i = 0; i < to; i++) {
    const center = scale * (i + 0.5);
    const first = Math.max(Math.trunc(center - support + 0.5), 0), last = Math.min(Math.trunc(center + support + 0.5), size);
    const exact = [];
    for (let j = first; j < last; j++) exact.push(Math.max(0, 1 - Math.abs((j - center + 0.5) * inverse)));
    let total = 0;
    for (const weight of exact) total += weight;
    for (let j = 0; j < exact.length; j++) largest = Math.max(largest, exact[j] /= total);
    rows.push({first, exact});
  }
  let precision = 0;
  while (precision < 22 && Math.trunc(0.5 + largest * 2 ** (precision + 1)) < 2 ** 15) precision++;
  const whole = exact => Int32Array.from(exact, weight => Math.trunc(0.5 + weight * 2 ** precision));
  return {precision, rows: rows.map(({first, exact}) => ({first, weights: whole(exact)}))};
}

// data: bytes of red, green, blue and one more, row by row; the fourth is not kept
function resizeWidth(data, width, height, to) {
  if (width === to) return data;
  const {rows, precision} = taps(width, to), out = new Uint8ClampedArray(to * height * 4), half = 2 ** (precision - 1);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < to; x++) {
      const {first, weights} = rows[x];
      let at = (y * width + first) * 4, red = half, green = half, blue = half;
      for (let j = 0; j < weights.length; j++, at += 4) {
        red += weights[j] * data[at];
        green += weights[j] * data[at + 1];
        blue += weights[j] * data[at + 2];
      }
      const o = (y * to + x) * 4;
      out[o] = red >> precision;
      out[o + 1] = green >> precision;
      out[o + 2] = blue >> precision;
    }
  return out;
}

function resizeHeight(data, width, height, to) {
  if (height === to) return data;
  const {rows, precision} = taps(height, to), stride = width * 4;
  const out = new Uint8ClampedArray(stride * to), sums = new Int32Array(stride);
  for (let y = 0; y < to; y++) {
    const {first, weights} = rows[y];
    sums.fill(2 ** (precision - 1));
    for (let j = 0; j < weights.length; j++) {
      const start = (first + j) * stride, weight = weights[j];
      for (let x = 0; x < stride; x++) sums[x] += weight * data[start + x];
    }
    for (let x = 0; x < stride; x++) out[y * stride + x] = sums[x] >> precision;
  }
  return out;
}

// the same as planes: [channels, h, w]
function prepare(data, width, height, {height: h, width: w, channels, gray}) {
  data = resizeHeight(resizeWidth(data, width, height, w), w, height, h);
  const area = h * w, out = new Uint8Array(channels * area);
  for (let i = 0; i < area; i++) {
    const [red, green, blue] = [data[4 * i], data[4 * i + 1], data[4 * i + 2]];
    if (channels === 1) out[i] = (red * gray[0] + green * gray[1] + blue * gray[2] + 32768) >> 16;
    else [out[i], out[area + i], out[2 * area + i]] = [red, green, blue];
  }
  return out;
}
