// Resampling of a quadrilateral to a square, bilinearly, as Pillow's transform does it.

import { image } from "./pixels.js";

// corners: [x, y] of top left, bottom left, bottom right, top right. Black outside of the source.
export function warpQuad(source, corners, size) {
  const { width, height, channels, data } = source, output = image(size, size, channels);
  const unit = 1 / size;
  const [x, y] = [0, 1].map((axis) => {
    const [nw, sw, se, ne] = corners.map((corner) => corner[axis]);
    return [nw, (ne - nw) * unit, (sw - nw) * unit, (se - sw - ne + nw) * unit * unit];
  });
  const mix = (row, left, right, share) =>
    data[row + left] + (data[row + right] - data[row + left]) * share;
  let to = 0;
  for (let v = 0; v < size; v++) {
    for (let u = 0; u < size; u++, to += channels) {
      const px = u + 0.5, py = v + 0.5;
      let sx = x[0] + x[1] * px + x[2] * py + x[3] * px * py;
      let sy = y[0] + y[1] * px + y[2] * py + y[3] * px * py;
      if (sx < 0 || sx >= width || sy < 0 || sy >= height) continue;
      sx -= 0.5;
      sy -= 0.5;
      const column = Math.floor(sx), line = Math.floor(sy), dx = sx - column, dy = sy - line;
      const row = Math.max(0, line) * width * channels, under = line + 1 < height;
      const left = Math.max(0, column) * channels;
      const right = Math.min(width - 1, column + 1) * channels;
      const below = (line + 1) * width * channels;
      for (let c = 0; c < channels; c++) {
        const first = mix(row, left + c, right + c, dx);
        const second = under ? mix(below, left + c, right + c, dx) : first;
        output.data[to + c] = first + (second - first) * dy;
      }
    }
  }
  return output;
}
