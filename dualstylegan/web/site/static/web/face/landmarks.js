// 68 landmarks of a face, as in faces/landmarks.py: the predictor looks at an FFHQ crop, in which the
// box that it knows from its training is fixed whatever the face's roll and size.

import { roundEven } from "../picture/pixels.js";
import { cropQuad, ffhqQuad, mean } from "./geometry.js";

const WORK_PX = 320, DLIB_BOX = [0.2, 0.305, 0.78, 0.885];
const STILL = [[0, 0]];

// Return the landmarks of a detected face by its five points; null where it lies outside.
export function landmarks68(predictor, photo, [left, right, , first, second]) {
  return landmarksInQuad(predictor, photo, ffhqQuad(left, right, mean([first, second])));
}

// Return the landmarks of the face in a quad: means over shifts of the predictor's box.
export function landmarksInQuad(predictor, photo, quad, shifts = STILL, oversampling = 2) {
  const crop = cropQuad(photo, quad, WORK_PX, oversampling);
  if (crop === null) return null;
  const box = DLIB_BOX.map((share) => roundEven(WORK_PX * share));
  const shapes = shifts.map(([x, y]) =>
    predictor.predict(crop, [box[0] + x, box[1] + y, box[2] + x, box[3] + y]));
  const [corner, below, , right] = quad;
  return shapes[0].map((_, index) => {
    const [u, v] = mean(shapes.map((shape) => shape[index])).map((x) => (x + 0.5) / WORK_PX);
    return [0, 1].map((axis) =>
      corner[axis] + u * (right[axis] - corner[axis]) + v * (below[axis] - corner[axis]));
  });
}
