// Resampling as Pillow computes it, level for level: separable filters, 8-bit levels in fixed point
// of 22 bits, and a first reduction by whole factors. Python's pictures are made by the same steps.

import { image } from "./pixels.js";

const BITS = 22;

const sinc = (x) => (x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI));
const FILTERS = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  lanczos: { support: 3, weight: (x) => (-3 <= x && x < 3 ? sinc(x) * sinc(x / 3) : 0) },
};

// Return the first position and the weights of each of `count` samples along an axis.
function taps(length, start, end, count, { support, weight }) {
  const scale = Math.fround(end - start) / count, stretch = Math.max(scale, 1);
  const reach = support * stretch, inverse = 1 / stretch;
  return Array.from({ length: count }, (_, index) => {
    const centre = start + (index + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const last = Math.min(length, Math.trunc(centre + reach + 0.5));
    const weights = new Float64Array(last - first);
    let sum = 0;
    for (let at = 0; at < weights.length; at++) {
      weights[at] = weight((at + first - centre + 0.5) * inverse);
      sum += weights[at];
    }
    if (sum !== 0) for (let at = 0; at < weights.length; at++) weights[at] /= sum;
    return { first, weights };
  });
}

// Round weights to fixed point; sums of levels then start at a half.
function fixed(list) {
  return list.map(({ first, weights }) => ({
    first,
    weights: Int32Array.from(weights, (w) => Math.trunc((w < 0 ? -0.5 : 0.5) + w * (1 << BITS))),
  }));
}

const clip = (sum) => Math.min(255, Math.max(0, sum >> BITS));

function across(source, list, top, bottom) {
  const { width, channels, data } = source, whole = data instanceof Uint8Array;
  const size = list.length * (bottom - top) * channels;
  const output = whole ? new Uint8Array(size) : new Float32Array(size);
  let to = 0;
  for (let y = top; y < bottom; y++) {
    const row = y * width * channels;
    for (const { first, weights } of list) {
      for (let c = 0; c < channels; c++) {
        let sum = whole ? 1 << (BITS - 1) : 0, at = row + first * channels + c;
        for (let i = 0; i < weights.length; i++, at += channels) sum += data[at] * weights[i];
        output[to++] = whole ? clip(sum) : sum;
      }
    }
  }
  return image(list.length, bottom - top, channels, output);
}

function down(source, list, above) {
  const { width, channels, data } = source, whole = data instanceof Uint8Array;
  const row = width * channels, size = row * list.length;
  const output = whole ? new Uint8Array(size) : new Float32Array(size);
  const sums = whole ? new Int32Array(row) : new Float64Array(row);
  list.forEach(({ first, weights }, y) => {
    sums.fill(whole ? 1 << (BITS - 1) : 0);
    for (let i = 0; i < weights.length; i++) {
      const start = (first - above + i) * row, weight = weights[i];
      for (let x = 0; x < row; x++) sums[x] += data[start + x] * weight;
    }
    for (let x = 0; x < row; x++) output[y * row + x] = whole ? clip(sums[x]) : sums[x];
  });
  return image(width, list.length, channels, output);
}

// Average blocks of factors [across, down] of the part inside of [left, top, right, bottom]; the
// blocks at its right and lower edge may be smaller.
export function reduce(source, [fx, fy], [left, top, right, bottom]) {
  const { width, channels, data } = source;
  const output = image(Math.ceil((right - left) / fx), Math.ceil((bottom - top) / fy), channels);
  let to = 0;
  for (let y = top; y < bottom; y += fy) {
    const low = Math.min(bottom, y + fy);
    for (let x = left; x < right; x += fx) {
      const end = Math.min(right, x + fx), count = (end - x) * (low - y);
      const factor = Math.trunc(Math.fround(2 ** 32 / (256 * count)));
      for (let c = 0; c < channels; c++) {
        let sum = count >> 1;
        for (let v = y; v < low; v++) {
          for (let u = x; u < end; u++) sum += data[(v * width + u) * channels + c];
        }
        output.data[to++] = Math.floor((sum * factor) / 2 ** 24);
      }
    }
  }
  return output;
}

// Resize an image, or the part of it inside of a box of fractional sides.
// filter: "bilinear" or "lanczos". gap: reduce by whole factors first, to no less than so many times
// the size; 0 does not.
export function resize(source, width, height, filter, box = null, gap = 0) {
  const chosen = FILTERS[filter];
  let [left, top, right, bottom] = box ?? [0, 0, source.width, source.height];
  const whole = left === 0 && top === 0 && right === source.width && bottom === source.height;
  if (whole && source.width === width && source.height === height) return source;
  const factors = [(right - left) / width, (bottom - top) / height]
    .map((scale) => (gap ? Math.trunc(scale / gap) || 1 : 1));
  if (Math.max(...factors) > 1) {
    const [x, y] = [(right - left) / width, (bottom - top) / height]
      .map((scale) => (chosen.support - 0.5) * scale);
    const safe = [
      Math.max(0, Math.trunc(left - x)), Math.max(0, Math.trunc(top - y)),
      Math.min(source.width, Math.ceil(right + x)), Math.min(source.height, Math.ceil(bottom + y)),
    ];
    source = reduce(source, factors, safe);
    [left, right] = [left, right].map((side) => (side - safe[0]) / factors[0]);
    [top, bottom] = [top, bottom].map((side) => (side - safe[1]) / factors[1]);
  }
  return resample(source, width, height, chosen, [left, top, right, bottom].map(Math.fround));
}

function resample(source, width, height, filter, [left, top, right, bottom]) {
  const levels = source.data instanceof Uint8Array;
  const prepared = (list) => (levels ? fixed(list) : list);
  const rows = prepared(taps(source.height, top, bottom, height, filter));
  let above = 0, output = source;
  if (width !== source.width || left !== 0 || right !== width) {
    above = rows[0].first;
    const last = rows[height - 1], end = last.first + last.weights.length;
    output = across(source, prepared(taps(source.width, left, right, width, filter)), above, end);
  }
  const kept = height === source.height && top === 0 && bottom === height;
  return kept ? output : down(output, rows, above);
}
