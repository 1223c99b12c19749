// Faces of a photo: found, cropped and judged, the largest first, as in faces/align.py.

import { detectFaces } from "./detect.js";
import { pictureFrame } from "./frame.js";
import { LEFT_EYE, RIGHT_EYE, cropQuad, mean, quadOfLandmarks, quadSide } from "./geometry.js";
import { landmarks68 } from "./landmarks.js";

const NOSE_TIP = 30, GRID = 16;
export const MIN_CROP_PX = 48;
const MIN_SIZE_RATIO = 0.5, MIN_SCORE = 0.75, MAX_ROLL_DEGREES = 35, MAX_NOSE_OFFSET = 0.3;
const MAX_OUTSIDE = 0.1;

// Return the faces that were taken, at most so many, and those that were left out.
export async function findFaces({ network, predictor }, photo, size, most) {
  const found = await detectFaces(network, photo), taken = [], leftOut = [];
  const refusals = [];
  for (const face of found) {
    if (taken.length === most) {
      leftOut.push(leftOutLine(face, "smaller than those asked for"));
      continue;
    }
    const { aligned, refusal } = align(predictor, photo, face, size);
    if (aligned) taken.push(aligned);
    else {
      leftOut.push(leftOutLine(face, refusal.line));
      refusals.push(refusal);
    }
  }
  if (found.length > 1) taken.forEach((face) => face.flags.push("several_faces"));
  return { taken, leftOut, refusal: taken.length ? null : refusals[0] ?? noFace(photo) };
}

const noFace = ({ width, height }) => ({
  error: "no face found", found: `an image of ${width} x ${height}`,
  fix: "use a sharper, more frontal or larger face",
});

function leftOutLine({ box }, reason) {
  const [left, top, right, bottom] = box.map(Math.round);
  return `${right - left} x ${bottom - top} pixels at (${left}, ${top}): ${reason}`;
}

// Crop a detected face, or say why it cannot be.
function align(predictor, photo, face, size) {
  const landmarks = landmarks68(predictor, photo, face.points);
  const outside = { refusal: { error: "the face lies outside of the image",
    line: "the face lies outside of the image", fix: "use a photo that shows all of the face" } };
  if (landmarks === null) return outside;
  const quad = quadOfLandmarks(landmarks), side = quadSide(quad);
  if (side < MIN_CROP_PX) {
    const wide = `its crop is ${side.toFixed(0)} pixels wide`;
    return { refusal: { error: "the face is too small", found: wide, limit: `${MIN_CROP_PX} pixels`,
      line: `the face is too small, ${wide}`, fix: "use a photo that shows the face larger" } };
  }
  const crop = cropQuad(photo, quad, size);
  if (crop === null) return outside;
  const frame = pictureFrame(photo.width, photo.height, quad);
  const flags = flagsOf(landmarks, quad, photo, size, face.score);
  return { aligned: { crop, quad, frame, flags, landmarks } };
}

function flagsOf(landmarks, quad, { width, height }, size, score) {
  const side = quadSide(quad);
  const across = [quad[3][0] - quad[0][0], quad[3][1] - quad[0][1]];
  const down = [quad[1][0] - quad[0][0], quad[1][1] - quad[0][1]];
  const along = ([x, y], [u, v]) => ((x - u) * across[0] + (y - v) * across[1]) / side;
  const eyes = [LEFT_EYE, RIGHT_EYE].map((eye) => mean(landmarks.slice(...eye)));
  const nose = along(landmarks[NOSE_TIP], eyes[0]) / Math.max(along(eyes[1], eyes[0]), 1e-9);
  let outside = 0;
  for (let v = 0.5; v < GRID; v++) {
    for (let u = 0.5; u < GRID; u++) {
      const x = quad[0][0] + (u * across[0] + v * down[0]) / GRID;
      const y = quad[0][1] + (u * across[1] + v * down[1]) / GRID;
      if (x < 0 || y < 0 || x > width || y > height) outside++;
    }
  }
  const roll = Math.abs(Math.atan2(across[1], across[0])) * (180 / Math.PI);
  const conditions = {
    small: side < MIN_SIZE_RATIO * size,
    uncertain: score < MIN_SCORE,
    tilted: roll > MAX_ROLL_DEGREES,
    turned: Math.abs(nose - 0.5) > MAX_NOSE_OFFSET,
    outside: outside / GRID ** 2 > MAX_OUTSIDE,
  };
  return Object.keys(conditions).filter((name) => conditions[name]);
}
