// FFHQ crop (Karras et al., 2019): an oriented square around a face, from eyes and mouth. The same
// steps as in the library's faces/geometry.py. Points and sizes are [x, y] in pixels.

import { gaussianBlur } from "../picture/blur.js";
import { composite, crop, image, paste, roundEven } from "../picture/pixels.js";
import { resize } from "../picture/resample.js";
import { warpQuad } from "../picture/warp.js";
import { TRIM_SHARE } from "./frame.js";

export const LEFT_EYE = [36, 42], RIGHT_EYE = [42, 48], MOUTH_CORNERS = [48, 54];
const REDUCING_GAP = 3, PADDING_BLUR = 0.02, FADE_SHARE = 0.06, CORNER_SHARE = 0.06, BLUR_REACH = 3;

export const mean = (points) =>
  [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);

// Return the square of a face: corners top left, bottom left, bottom right, top right.
export function ffhqQuad(left, right, mouth) {
  const eyes = mean([left, right]);
  const across = [right[0] - left[0], right[1] - left[1]];
  const down = [mouth[0] - eyes[0], mouth[1] - eyes[1]];
  let x = [across[0] + down[1], across[1] - down[0]];
  const wanted = Math.max(Math.hypot(...across) * 2, Math.hypot(...down) * 1.8);
  const scale = wanted / Math.max(Math.hypot(...x), 1e-9);
  x = x.map((part) => part * scale);
  const y = [-x[1], x[0]], centre = [eyes[0] + down[0] * 0.1, eyes[1] + down[1] * 0.1];
  return [[-1, -1], [-1, 1], [1, 1], [1, -1]].map(([u, v]) =>
    [0, 1].map((axis) => centre[axis] + u * x[axis] + v * y[axis]));
}

export function quadOfLandmarks(points) {
  const mouth = mean(MOUTH_CORNERS.map((index) => points[index]));
  return ffhqQuad(mean(points.slice(...LEFT_EYE)), mean(points.slice(...RIGHT_EYE)), mouth);
}

export const quadSide = (quad) => Math.hypot(quad[3][0] - quad[0][0], quad[3][1] - quad[0][1]);

// Resample a quad of a photo to an upright square; null where it lies outside of the photo.
export function cropQuad(photo, quad, size, oversampling = 2) {
  const sides = [photo.width, photo.height], inner = oversampling * size;
  const shrink = Math.max(1, quadSide(quad) / inner);
  const reduced = sides.map((side) => Math.max(1, roundEven(side / shrink)));
  const placed = quad.map((point) => point.map((x, axis) => x * (reduced[axis] / sides[axis])));
  const side = quadSide(placed), border = Math.ceil(side * 0.1) + 2;
  const low = [0, 1].map((axis) => Math.floor(Math.min(...placed.map((p) => p[axis]))) - border);
  const high = [0, 1].map((axis) => Math.ceil(Math.max(...placed.map((p) => p[axis]))) + border);
  const trim = roundEven(TRIM_SHARE * Math.min(...reduced));
  const first = low.map((x) => Math.max(x, trim));
  const last = high.map((x, axis) => Math.min(x, reduced[axis] - trim));
  if (last.some((x, axis) => x <= first[axis])) return null;
  const before = first.map((x, axis) => x - low[axis]);
  const after = high.map((x, axis) => x - last[axis]);
  const part = pad(reducedPart(photo, reduced, first, last), before, after, side);
  const corners = placed.map((point) => point.map((x, axis) => x - low[axis]));
  return resize(warpQuad(part, corners, inner), size, size, "lanczos");
}

function reducedPart(photo, reduced, low, high) {
  const sides = [photo.width, photo.height];
  if (reduced.every((side, axis) => side === sides[axis])) return crop(photo, [...low, ...high]);
  const start = low.map((x, axis) => x * (sides[axis] / reduced[axis]));
  const stop = high.map((x, axis) => Math.min(x * (sides[axis] / reduced[axis]), sides[axis]));
  const [width, height] = high.map((x, axis) => x - low[axis]);
  return resize(photo, width, height, "lanczos", [...start, ...stop], REDUCING_GAP);
}

// Pad a part of a photo beyond the photo's edges: its blurred reflection, faded into its background.
export function pad(part, before, after, side) {
  if (![...before, ...after].some(Boolean)) return part;
  const padded = reflect(part, before, after), output = crop(padded, [0, 0, padded.width, padded.height]);
  const inside = [...before, before[0] + part.width, before[1] + part.height];
  const blur = side * PADDING_BLUR, reach = Math.ceil(BLUR_REACH * (blur + 2));
  for (const box of strips(inside, padded)) {
    const [left, top] = [0, 1].map((axis) => Math.max(0, box[axis] - reach));
    const around = [left, top, Math.min(padded.width, box[2] + reach),
      Math.min(padded.height, box[3] + reach)];
    const within = [box[0] - left, box[1] - top, box[2] - left, box[3] - top];
    const mask = crop(gaussianBlur(maskOf(inside, around), blur / 2), within);
    const blurred = crop(gaussianBlur(crop(padded, around), blur), within);
    const soft = fade(blurred, part, [box[0] - inside[0], box[1] - inside[1]], side * FADE_SHARE);
    paste(output, composite(crop(padded, box), soft, mask), box[0], box[1]);
  }
  return output;
}

function reflect(part, before, after) {
  const { width, height, channels } = part, edge = Math.min(width, height) <= 1;
  const places = (count, low, high) => Array.from({ length: low + count + high }, (_, index) => {
    const at = index - low, period = 2 * (count - 1);
    if (edge) return Math.min(count - 1, Math.max(0, at));
    const turned = ((at % period) + period) % period;
    return turned < count ? turned : period - turned;
  });
  const columns = places(width, before[0], after[0]), rows = places(height, before[1], after[1]);
  const padded = image(columns.length, rows.length, channels);
  let to = 0;
  for (const row of rows) {
    for (const column of columns) {
      const from = (row * width + column) * channels;
      for (let c = 0; c < channels; c++) padded.data[to++] = part.data[from + c];
    }
  }
  return padded;
}

function strips([left, top, right, bottom], { width, height }) {
  const boxes = [[0, 0, width, top], [0, bottom, width, height], [0, top, left, bottom],
    [right, top, width, bottom]];
  return boxes.filter((box) => box[0] < box[2] && box[1] < box[3]);
}

// Return a mask of an area: 255 inside of a box, both in pixels of the padded part.
function maskOf(inside, [left, top, right, bottom]) {
  const mask = image(right - left, bottom - top, 1);
  const from = Math.max(inside[0], left) - left, to = Math.min(inside[2], right) - left;
  for (let y = Math.max(inside[1], top); y < Math.min(inside[3], bottom); y++) {
    if (to > from) mask.data.fill(255, (y - top) * mask.width + from, (y - top) * mask.width + to);
  }
  return mask;
}

// Fade a place beside a part into the colours of the part's corners, which show its background.
function fade(source, part, corner, reach) {
  const mixed = image(source.width, source.height, source.channels);
  const ends = [part.width - 1, part.height - 1];
  const colours = [[0, 0], [1, 0], [0, 1], [1, 1]].map((place) => cornerColour(part, ...place));
  const along = (axis, count) => Array.from({ length: count }, (_, index) => {
    const at = corner[axis] + index;
    return { away: Math.max(-at, at - ends[axis], 0),
      share: Math.min(1, Math.max(0, at / Math.max(ends[axis], 1))) };
  });
  const rows = along(1, source.height), columns = along(0, source.width);
  let at = 0;
  for (const row of rows) {
    for (const column of columns) {
      const far = Math.min(1, Math.hypot(row.away, column.away) / reach);
      const share = far * far * (3 - 2 * far);
      for (let c = 0; c < source.channels; c++, at++) {
        const [nw, ne, sw, se] = colours.map((colour) => colour[c]);
        const top = (1 - column.share) * nw + column.share * ne;
        const bottom = (1 - column.share) * sw + column.share * se;
        const colour = (1 - row.share) * top + row.share * bottom;
        mixed.data[at] = roundEven(source.data[at] * (1 - share) + colour * share);
      }
    }
  }
  return mixed;
}

// Return the median colour of a corner: right and lower edge, or left and upper one.
function cornerColour(part, right, lower) {
  const { width, height, channels, data } = part;
  const columns = Math.ceil(CORNER_SHARE * width), rows = Math.ceil(CORNER_SHARE * height);
  const left = right ? width - columns : 0, top = lower ? height - rows : 0;
  return Array.from({ length: channels }, (_, c) => {
    const levels = new Uint8Array(columns * rows);
    for (let y = 0; y < rows; y++) {
      for (let x = 0; x < columns; x++) {
        levels[y * columns + x] = data[((top + y) * width + left + x) * channels + c];
      }
    }
    levels.sort();
    const middle = levels.length >> 1;
    return levels.length % 2 ? levels[middle] : (levels[middle - 1] + levels[middle]) / 2;
  });
}
