// Frame of a picture in an aligned crop, and the crop continued beyond it, as in faces/frame.py.
// Frames are corners as shares of the crop's side: top left, bottom left, bottom right, top right.

import { image, roundEven } from "../picture/pixels.js";
import { resize } from "../picture/resample.js";

export const TRIM_SHARE = 0.01;
const DECIMALS = 1e6, MARGIN_PX = 2, EPS = 1e-6;
const CROP = [[0, 0], [0, 1], [1, 1], [1, 0]];

// Return the corners of a photo in a crop of it; null if the photo covers the crop.
export function pictureFrame(width, height, quad) {
  const trim = roundEven(TRIM_SHARE * Math.min(width, height));
  const right = width - trim, bottom = height - trim;
  const [ax, ay] = [quad[3][0] - quad[0][0], quad[3][1] - quad[0][1]];
  const [bx, by] = [quad[1][0] - quad[0][0], quad[1][1] - quad[0][1]];
  const determinant = ax * by - ay * bx;
  const frame = [[trim, trim], [trim, bottom], [right, bottom], [right, trim]].map(([x, y]) => {
    const u = x - quad[0][0], v = y - quad[0][1];
    return [(u * by - v * bx) / determinant, (v * ax - u * ay) / determinant]
      .map((share) => roundEven(share * DECIMALS) / DECIMALS);
  });
  const covered = edges(frame).every((edge) => CROP.every((point) => depth(edge, ...point) >= -EPS));
  return covered ? null : frame;
}

// Return the edges of a frame: normals, which point inside, and their offsets.
function edges(frame) {
  return frame.map(([x, y], index) => {
    const next = frame[(index + 1) % 4], along = [next[0] - x, next[1] - y];
    const length = Math.max(Math.hypot(...along), 1e-12);
    const normal = [along[1] / length, -along[0] / length];
    return { normal, offset: x * normal[0] + y * normal[1] };
  });
}

const depth = ({ normal, offset }, x, y) => x * normal[0] + y * normal[1] - offset;

// Return 1 for the pixels of a crop that show the picture alone, else 0.
export function frameMask(frame, size) {
  const mask = new Uint8Array(size * size).fill(1);
  if (frame === null) return mask;
  const crossing = edges(frame).filter((edge) => CROP.some((point) => depth(edge, ...point) < -EPS));
  for (const edge of crossing) {
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const inside = depth(edge, (x + 0.5) / size, (y + 0.5) / size) >= MARGIN_PX / size;
        if (!inside) mask[y * size + x] = 0;
      }
    }
  }
  return mask;
}

// Continue a crop smoothly beyond its picture (push-pull, Gortler et al., 1996).
export function continued(crop, frame) {
  if (frame === null) return crop;
  const { width: size, channels } = crop, mask = frameMask(frame, size);
  const output = image(size, size, channels);
  output.data.set(crop.data);
  const weight = Float32Array.from(mask);
  const planes = Array.from({ length: channels }, (_, c) =>
    Float32Array.from(mask, (_, at) => crop.data[at * channels + c]));
  pushPull(planes, weight, size).forEach((plane, c) => {
    mask.forEach((inside, at) => {
      if (inside) return;
      output.data[at * channels + c] = Math.min(255, Math.max(0, roundEven(plane[at])));
    });
  });
  return output;
}

// Fill positions of a weight below one from the weighted means of a map of half the size.
function pushPull(planes, weight, size) {
  if (size === 1 || weight.every((share) => share === 1)) return planes;
  const half = Math.ceil(size / 2), total = halve(weight, size);
  const halved = planes.map((plane) => {
    const sums = halve(plane.map((level, at) => level * weight[at]), size);
    return sums.map((sum, at) => sum / Math.max(total[at], Math.fround(EPS)));
  });
  const coarse = pushPull(halved, total.map((share) => Math.min(share, 1)), half);
  return planes.map((plane, c) => {
    const filled = resize(image(half, half, 1, coarse[c]), size, size, "bilinear").data;
    return plane.map((level, at) => Math.fround(weight[at] * level) +
      Math.fround(Math.fround(1 - weight[at]) * filled[at]));
  });
}

// Add up squares of two by two positions.
function halve(map, size) {
  const half = Math.ceil(size / 2), halved = new Float32Array(half * half);
  const at = (y, x) => (y < size && x < size ? map[y * size + x] : 0);
  for (let y = 0; y < half; y++) {
    for (let x = 0; x < half; x++) {
      const [left, right] = [2 * x, 2 * x + 1].map((u) =>
        Math.fround(at(2 * y, u) + at(2 * y + 1, u)));
      halved[y * half + x] = left + right;
    }
  }
  return halved;
}
