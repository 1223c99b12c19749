// Gaussian blur as Pillow approximates it: three boxes of fractional width (Gwosdek et al., 2011).

import { image } from "./pixels.js";

const PASSES = 3, ONE = 2 ** 24, HALF = 2 ** 23;
const f = Math.fround;

// Return the radius of the boxes, in the single precision in which Pillow finds it.
function boxRadius(radius) {
  const variance = f(f(f(radius) * f(radius)) / PASSES);
  const length = f(Math.sqrt(12 * variance + 1));
  const whole = f(Math.floor((length - 1) / 2)), next = f(whole + 1);
  const above = f(f(f(2 * whole) + 1) * f(f(whole * next) - f(3 * variance)));
  const below = f(6 * f(variance - f(next * next)));
  return f(whole + f(above / below));
}

// Blur a line by a box: `step` is the distance of neighbours in both arrays.
function boxLine(from, to, start, step, count, radius) {
  const whole = Math.trunc(radius), last = count - 1;
  const share = Math.trunc(f(ONE / f(f(radius * 2) + 1)));
  const rest = Math.trunc((ONE - (whole * 2 + 1) * share) / 2);
  const at = (x) => from[start + Math.min(last, Math.max(0, x)) * step];
  let sum = 0;
  for (let x = -whole - 1; x < whole; x++) sum += at(x);
  for (let x = 0; x < count; x++) {
    sum += at(x + whole) - at(x - whole - 1);
    const bulk = sum * share + (at(x - whole - 1) + at(x + whole + 1)) * rest;
    to[start + x * step] = Math.floor((bulk + HALF) / ONE);
  }
}

// Blur an image by a Gaussian of standard deviation `radius`, in pixels.
export function gaussianBlur(source, radius) {
  const { width, height, channels } = source, box = boxRadius(radius);
  let from = source.data, to = new Uint8Array(from.length);
  if (box === 0) return source;
  for (let pass = 0; pass < PASSES; pass++) {
    for (let y = 0; y < height; y++) {
      for (let c = 0; c < channels; c++) {
        boxLine(from, to, y * width * channels + c, channels, width, box);
      }
    }
    [from, to] = [to, from === source.data ? new Uint8Array(from.length) : from];
  }
  for (let pass = 0; pass < PASSES; pass++) {
    for (let x = 0; x < width * channels; x++) {
      boxLine(from, to, x, width * channels, height, box);
    }
    [from, to] = [to, from];
  }
  return image(width, height, channels, from);
}
