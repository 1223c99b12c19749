// Faces before a camera: tracked from frame to frame, their identity from the first frame, pose and
// expression from each, as in the library's video/performance.py.

import { cropQuad } from "../face/geometry.js";
import { pictureFrame, continued } from "../face/frame.js";
import { FaceTracker, OneEuroFilter } from "../face/tracking.js";
import { encodeFace, pixelsOf, resultFile } from "./photos.js";
import { PICTURE } from "./queue.js";
import { prefixed, recipe } from "./recipes.js";
import { toImage, toPlanes } from "./tensors.js";

const FRAME_PIXELS = 480 * 360, CODE = { cutoff: 1.5, gain: 4 };
// Frames are rendered at the size below where the larger one takes longer than this.
const SLOW_MS = 250, EPS = 1e-8;

export class Live {
  constructor(restyler, finder, queue) {
    Object.assign(this, { restyler, finder, queue, faces: new Map(), last: 0, slow: false });
  }

  begin() {
    const id = String(++this.last);
    this.faces.set(id, { tracker: new FaceTracker(this.finder), track: -1 });
    return id;
  }

  leave(id) {
    this.faces.delete(id);
  }

  // Restyle the face in a frame; return the file, null where there is no face.
  async frame(id, bitmap, options) {
    const face = this.faces.get(id), seconds = performance.now() / 1000;
    const photo = pixelsOf(bitmap, FRAME_PIXELS);
    bitmap.close();
    if (face === undefined) throw { status: 404, error: "no such live face here, or no more" };
    const rgb = await this.queue.run(PICTURE, () => this._restyle(face, photo, seconds, options));
    if (rgb === null) return null;
    const facts = recipe(this.restyler.model, { ...options, size: rgb.width });
    return resultFile(rgb, options.format, prefixed(facts));
  }

  async _restyle(face, photo, seconds, options) {
    const found = await face.tracker.follow(photo, seconds);
    if (found === null) return null;
    const { model } = this.restyler;
    const crop = cropQuad(photo, found.quad, model.defaults.crop_px, 1);
    if (crop === null) return null;
    const frame = pictureFrame(photo.width, photo.height, found.quad);
    if (face.track !== found.track) await this._begin(face, found.track, crop, frame);
    const code = await this._code(face, crop, frame, seconds);
    const size = this._size(options.size), started = performance.now();
    const planes = await this.restyler.restyle(await this.restyler.map(code), { ...options, size });
    if (size === options.size) this.slow = performance.now() - started > SLOW_MS;
    return toImage(planes, size);
  }

  _size(wanted) {
    const smaller = this.restyler.sizes.filter((px) => px < wanted);
    return this.slow && smaller.length ? smaller.at(-1) : wanted;
  }

  async _begin(face, track, crop, frame) {
    const { code } = await encodeFace(this.restyler, { crop, frame });
    const first = await this._encode(crop, frame);
    Object.assign(face, { track, code, first, filter: new OneEuroFilter(CODE) });
  }

  _encode(crop, frame) {
    return this.restyler.encodeOnce(toPlanes(continued(crop, frame), this.restyler.model.face_px));
  }

  // Return the code of a frame: that of the first one, moved as the encoder's code has moved.
  async _code(face, crop, frame, seconds) {
    const { rows, width, structure_rows: structure } = this.restyler.model;
    const moved = face.filter.next(await this._encode(crop, frame), seconds);
    const code = Float32Array.from(face.code, (value, at) =>
      (at < structure * width ? value + moved[at] - face.first[at] : value));
    for (let row = 0; row < rows; row++) normalise(code.subarray(row * width, (row + 1) * width));
    return code;
  }
}

// Bring a row to unit mean square, in place.
function normalise(row) {
  const mean = row.reduce((sum, value) => sum + value * value, 0) / row.length;
  const scale = 1 / Math.sqrt(mean + EPS);
  for (let at = 0; at < row.length; at++) row[at] *= scale;
}
