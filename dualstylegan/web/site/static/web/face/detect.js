// Face detection with YuNet (Wu et al., 2023), as in faces/detect.py. Points are [x, y] in pixels.

import { roundEven, turn } from "../picture/pixels.js";
import { resize } from "../picture/resample.js";

export const INPUT_PX = 640, SCORE_LIMIT = 0.6, UPRIGHT = [0], QUARTER_TURNS = [0, 1, 3, 2];
const STRIDES = [8, 16, 32], REDUCING_GAP = 4, OVERLAP_LIMIT = 0.3, TURN_MARGIN = 0.03;

const best = (faces) => faces.reduce((most, { score }) => Math.max(most, score), -TURN_MARGIN);

// Detect all faces of an RGB image, the largest first: boxes [left, top, right, bottom], scores, and
// points (eyes, nose tip, corners of the mouth). `network` maps the input to tensors by name.
export async function detectFaces(network, photo, limit = SCORE_LIMIT, turns = QUARTER_TURNS) {
  const scale = INPUT_PX / Math.max(photo.width, photo.height);
  const [width, height] = [photo.width, photo.height].map((x) => Math.max(1, roundEven(x * scale)));
  const small = resize(photo, width, height, "bilinear", null, REDUCING_GAP);
  let found = [];
  for (const quarters of turns) {
    const faces = suppress(decode(await network(inputOf(turn(small, quarters)))), limit)
      .map((face) => scaled(face, scale));
    if (best(faces) > best(found) + TURN_MARGIN) {
      found = faces.map((face) => turnedBack(face, quarters, photo));
    }
  }
  return found.sort((a, b) => area(b.box) - area(a.box));
}

export const area = ([left, top, right, bottom]) => (right - left) * (bottom - top);

// Return the network's input, planes of blue, green and red, of a picture in its upper left corner.
export function inputOf(small) {
  const planes = new Float32Array(3 * INPUT_PX * INPUT_PX);
  for (let y = 0; y < small.height; y++) {
    for (let x = 0; x < small.width; x++) {
      const from = (y * small.width + x) * 3, to = y * INPUT_PX + x;
      for (let c = 0; c < 3; c++) planes[c * INPUT_PX * INPUT_PX + to] = small.data[from + 2 - c];
    }
  }
  return planes;
}

// Decode the tensors of all grids to candidates in pixels of the input.
export function decode(outputs) {
  return STRIDES.flatMap((stride) => {
    const cells = INPUT_PX / stride;
    const [classes, objects, boxes, points] = ["cls", "obj", "bbox", "kps"]
      .map((kind) => outputs[`${kind}_${stride}`]);
    const unit = (x) => Math.min(1, Math.max(0, x));
    return Array.from({ length: cells * cells }, (_, cell) => {
      const row = Math.floor(cell / cells), column = cell % cells;
      const score = Math.sqrt(unit(classes[cell]) * unit(objects[cell]));
      const [x, y, width, height] = boxes.subarray(4 * cell, 4 * cell + 4);
      const centre = [(column + x) * stride, (row + y) * stride];
      const half = [width, height].map((side) => (Math.exp(side) * stride) / 2);
      return {
        score,
        box: [centre[0] - half[0], centre[1] - half[1], centre[0] + half[0], centre[1] + half[1]],
        points: Array.from({ length: 5 }, (_, index) => [
          (points[10 * cell + 2 * index] + column) * stride,
          (points[10 * cell + 2 * index + 1] + row) * stride,
        ]),
      };
    });
  });
}

// Keep the best of faces that overlap.
export function suppress(faces, limit) {
  const kept = [];
  for (const face of faces.filter(({ score }) => score >= limit).sort((a, b) => b.score - a.score)) {
    if (kept.every((other) => overlap(face.box, other.box) < OVERLAP_LIMIT)) kept.push(face);
  }
  return kept;
}

function overlap(a, b) {
  const side = (axis) =>
    Math.max(0, Math.min(a[axis + 2], b[axis + 2]) - Math.max(a[axis], b[axis]));
  const inside = side(0) * side(1);
  return inside / (area(a) + area(b) - inside);
}

const scaled = ({ score, box, points }, scale) => ({
  score,
  box: box.map((side) => side / scale),
  points: points.map((point) => point.map((x) => x / scale)),
});

// Return a face as it is in the image that was turned counterclockwise by quarters.
export function turnedBack({ score, box, points }, quarters, { width, height }) {
  const back = ([x, y]) => [[x, y], [width - y, x], [width - x, height - y], [y, height - x]][quarters];
  const corners = [back(box.slice(0, 2)), back(box.slice(2))];
  const sides = [Math.min, Math.max].flatMap((pick) =>
    [0, 1].map((axis) => pick(corners[0][axis], corners[1][axis])));
  return { score, box: sides, points: points.map(back) };
}
