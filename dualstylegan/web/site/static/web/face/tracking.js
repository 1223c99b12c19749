// Tracking of a face before a camera: detection now and then, landmarks in between, and filters that
// are smooth at rest and quick in motion (One-Euro filter, Casiez et al., 2012). Much as in the
// library's video/tracking.py, without its registration of frames.

import { QUARTER_TURNS, SCORE_LIMIT, UPRIGHT, detectFaces } from "./detect.js";
import { LEFT_EYE, MOUTH_CORNERS, RIGHT_EYE, mean, quadOfLandmarks, quadSide } from "./geometry.js";
import { landmarks68, landmarksInQuad } from "./landmarks.js";
import { MIN_CROP_PX } from "./reading.js";

const DETECT_EVERY = 5, TRACKED_SCORE = 0.3, JUMP = 0.12, MAX_DISAGREEMENT = 0.25, NOSE_TIP = 30;
const TILT_DEGREES = 40;
const SHIFTS = [[0, 0], [4, 0], [-4, 0], [0, 4], [0, -4]];
// Speeds are in sides of the face's square a second.
const SQUARE = { cutoff: 0.8, gain: 6, speedCutoff: 1 };

export class OneEuroFilter {
  constructor({ cutoff, gain, speedCutoff = 1 }) {
    Object.assign(this, { cutoff, gain, speedCutoff, value: null, speed: null, seconds: 0 });
  }

  // Filter the next values, in some unit of length.
  next(values, seconds, unit = 1) {
    if (this.value === null) {
      Object.assign(this, { value: Float64Array.from(values), seconds,
        speed: new Float64Array(values.length) });
      return this.value;
    }
    const step = Math.max(seconds - this.seconds, 1e-6);
    const quick = share(this.speedCutoff, step);
    let squares = 0;
    for (let at = 0; at < values.length; at++) {
      const speed = (values[at] - this.value[at]) / (step * unit);
      this.speed[at] += quick * (speed - this.speed[at]);
      squares += this.speed[at] ** 2;
    }
    const moved = share(this.cutoff + this.gain * Math.sqrt(squares / values.length), step);
    for (let at = 0; at < values.length; at++) {
      this.value[at] += moved * (values[at] - this.value[at]);
    }
    this.seconds = seconds;
    return this.value;
  }
}

function share(cutoff, step) {
  const ratio = 2 * Math.PI * cutoff * step;
  return ratio / (ratio + 1);
}

export class FaceTracker {
  constructor({ network, predictor }) {
    Object.assign(this, { network, predictor, landmarks: null, motion: [0, 0], since: 0, track: -1,
      filter: null });
  }

  // Return the square of the face in the next frame, and the number of its track; null: no face.
  async follow(photo, seconds) {
    this.since++;
    const before = this.landmarks;
    const landmarks = await this._locate(photo);
    this.landmarks = landmarks;
    this.motion = [0, 0];
    if (landmarks === null) return null;
    if (before) {
      const [now, then] = [mean(landmarks), mean(before)];
      this.motion = now.map((x, axis) => x - then[axis]);
    }
    const quad = quadOfLandmarks(landmarks), side = quadSide(quad);
    if (side < MIN_CROP_PX) {
      this.landmarks = null;
      return null;
    }
    const steady = this.filter.next(quad.flat(), seconds, side);
    return { quad: [0, 1, 2, 3].map((i) => [steady[2 * i], steady[2 * i + 1]]), track: this.track };
  }

  async _locate(photo) {
    if (this.landmarks === null) return this._begin(photo, await this._detect(photo, SCORE_LIMIT, true));
    const before = quadOfLandmarks(this.landmarks);
    const start = before.map((point) => point.map((x, axis) => x + this.motion[axis]));
    const landmarks = landmarksInQuad(this.predictor, photo, start, SHIFTS, 1);
    if (landmarks === null) return null;
    const after = quadOfLandmarks(landmarks);
    const move = Math.max(...after.flat().map((x, at) => Math.abs(x - before.flat()[at])));
    if (this.since < DETECT_EVERY && move < JUMP * quadSide(before)) return landmarks;
    const tilt = Math.atan2(before[3][1] - before[0][1], before[3][0] - before[0][0]);
    const tilted = Math.abs(tilt) * (180 / Math.PI) > TILT_DEGREES;
    const faces = await this._detect(photo, TRACKED_SCORE, tilted);
    if (faces.some((face) => disagreement(landmarks, face.points) <= MAX_DISAGREEMENT)) {
      return landmarks;
    }
    const near = faces.find((face) => isNear(face, before));
    if (near) return landmarks68(this.predictor, photo, near.points);
    return this._begin(photo, faces.filter((face) => face.score >= SCORE_LIMIT));
  }

  _detect(photo, score, turned) {
    this.since = 0;
    return detectFaces(this.network, photo, score, turned ? QUARTER_TURNS : UPRIGHT);
  }

  // Begin a track with the largest face.
  _begin(photo, [face]) {
    if (!face) return null;
    this.track++;
    this.filter = new OneEuroFilter(SQUARE);
    const landmarks = landmarks68(this.predictor, photo, face.points);
    if (landmarks === null) return null;
    return landmarksInQuad(this.predictor, photo, quadOfLandmarks(landmarks), SHIFTS, 1);
  }
}

// Mean distance between the five points of detector and landmarks, in distances of the eyes.
function disagreement(landmarks, points) {
  const eyes = [LEFT_EYE, RIGHT_EYE].map((eye) => mean(landmarks.slice(...eye)));
  const own = [...eyes, landmarks[NOSE_TIP], ...MOUTH_CORNERS.map((index) => landmarks[index])];
  const apart = own.map(([x, y], index) => Math.hypot(x - points[index][0], y - points[index][1]));
  const gap = Math.hypot(eyes[1][0] - eyes[0][0], eyes[1][1] - eyes[0][1]);
  return apart.reduce((sum, distance) => sum + distance, 0) / apart.length / Math.max(gap, 1e-9);
}

// True where the middle of a face lies in the inner half of a square.
function isNear(face, quad) {
  const [x, y] = mean(face.points), [u, v] = mean(quad);
  return Math.hypot(x - u, y - v) < quadSide(quad) / 4;
}
