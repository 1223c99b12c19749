// Pictures as tensors, planes of red, green and blue in [-1, 1], and back, rounded as in the library.

import { image } from "../picture/pixels.js";
import { resize } from "../picture/resample.js";
import { roundEven } from "../picture/pixels.js";

const HALF_LEVELS = 127.5, f = Math.fround;
const SCALED = Float32Array.from({ length: 256 }, (_, level) => f(level / HALF_LEVELS) - 1);

// Return an image as planes of a side, resized where it has another.
export function toPlanes(rgb, size) {
  const { data } = resize(rgb, size, size, "lanczos"), area = size * size;
  const planes = new Float32Array(3 * area);
  for (let at = 0; at < area; at++) {
    for (let c = 0; c < 3; c++) planes[c * area + at] = SCALED[data[3 * at + c]];
  }
  return planes;
}

// Resize planes bilinearly, with anti-aliasing.
export function resizePlanes(planes, from, to) {
  if (from === to) return planes;
  const resized = new Float32Array(3 * to * to);
  for (let c = 0; c < 3; c++) {
    const plane = image(from, from, 1, planes.subarray(c * from * from, (c + 1) * from * from));
    resized.set(resize(plane, to, to, "bilinear").data, c * to * to);
  }
  return resized;
}

// Return planes as an image; values outside of [-1, 1] are clamped.
export function toImage(planes, size) {
  const area = size * size, rgb = image(size, size, 3);
  for (let at = 0; at < area; at++) {
    for (let c = 0; c < 3; c++) {
      const value = Math.min(1, Math.max(-1, planes[c * area + at]));
      rgb.data[3 * at + c] = roundEven(f(f(value + 1) * HALF_LEVELS));
    }
  }
  return rgb;
}
