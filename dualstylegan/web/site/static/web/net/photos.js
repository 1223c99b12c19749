// Photos that the visitor has brought, their faces as codes, and their pictures.

import { findFaces } from "../face/reading.js";
import { frameMask, continued } from "../face/frame.js";
import { cropQuad, quadSide } from "../face/geometry.js";
import { jpegFile } from "../picture/jpeg.js";
import { fromCanvas } from "../picture/pixels.js";
import { pngFile } from "../picture/png.js";
import { LATER, PICTURE, READING } from "./queue.js";
import { pixelsDigest, prefixed, recipe } from "./recipes.js";
import { toImage, toPlanes } from "./tensors.js";

const MAX_FACES = 6, MAX_PIXELS = 16e6, SHOWN_PX = 768, LEAST_SHOWN_PX = 256, MIN_SIDE = 8;
const QUALITY = 0.95;
const IMAGE_ERROR = { status: 415, error: "not a picture that this browser reads",
  fix: "convert it to PNG or JPEG" };

// Return the pixels of a bitmap on white, reduced where it has more than so many.
export function pixelsOf(bitmap, most = MAX_PIXELS) {
  const scale = Math.min(1, Math.sqrt(most / (bitmap.width * bitmap.height)));
  const width = Math.max(1, Math.floor(bitmap.width * scale));
  const height = Math.max(1, Math.floor(bitmap.height * scale));
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return fromCanvas(context.getImageData(0, 0, width, height));
}

// Return a result as a file that holds its facts.
export const resultFile = (rgb, format, facts) =>
  (format === "png" ? pngFile(rgb, facts) : jpegFile(rgb, QUALITY, facts));

// Encode the crop of a face: its code in Z+ and in W+, and what the likeness is measured with.
export async function encodeFace(restyler, { crop, frame }) {
  const px = restyler.model.face_px;
  const planes = toPlanes(continued(crop, frame), px);
  const inside = frame === null ? null : frameMask(frame, px);
  const code = await restyler.encode(planes, inside);
  return { code, planes, inside, mapped: await restyler.map(code) };
}

export class Photos {
  constructor(restyler, finder, queue) {
    Object.assign(this, { restyler, finder, queue, sitters: new Map(), last: 0 });
  }

  // Read the largest face of a photo; the others follow, and the likeness of all.
  async read(file) {
    let bitmap;
    try {
      bitmap = await createImageBitmap(file);
    } catch {
      throw IMAGE_ERROR;
    }
    if (Math.min(bitmap.width, bitmap.height) < MIN_SIDE) {
      throw { status: 415, error: "the image is too small", limit: `${MIN_SIDE} pixels a side`,
        found: `${bitmap.width} x ${bitmap.height}` };
    }
    const photo = pixelsOf(bitmap);
    bitmap.close();
    const size = this.restyler.model.defaults.crop_px;
    const found = await this.queue.run(READING, () => findFaces(this.finder, photo, size, MAX_FACES));
    if (found.refusal) throw { ...found.refusal, status: 422 };
    const id = String(++this.last);
    const sitter = { id, photo, faces: [], leftOut: found.leftOut, revision: 1,
      fit: { state: "working", done: 0, total: 2 * found.taken.length - 1, error: null } };
    this.sitters.set(id, sitter);
    await this.queue.run(READING, () => this._add(sitter, found.taken[0]));
    this._finish(sitter, found.taken.slice(1)).catch((error) => {
      sitter.fit = { ...sitter.fit, state: "failed", error: { error: error.message } };
    });
    return this.sitter(id);
  }

  async _add(sitter, face) {
    sitter.faces.push({ ...face, ...(await encodeFace(this.restyler, face)), likeness: null });
  }

  // Read the other faces and measure all likenesses, while pictures go first.
  async _finish(sitter, others) {
    const step = async (work) => {
      if (!this.sitters.has(sitter.id)) return;
      await this.queue.run(LATER, work);
      sitter.fit.done++;
    };
    for (const face of others) await step(() => this._add(sitter, face));
    for (const face of sitter.faces) {
      await step(async () => {
        face.likeness = await this.restyler.likeness(face.mapped, face.planes, face.inside);
      });
    }
    sitter.digest = await pixelsDigest(sitter.photo);
    sitter.fit = { ...sitter.fit, state: "ready" };
    sitter.revision++;
  }

  _get(id) {
    const sitter = this.sitters.get(id);
    if (sitter === undefined) throw { status: 404, error: "no such photo here, or no more" };
    return sitter;
  }

  // Describe a photo as the REST interface of the studio does.
  sitter(id) {
    const { photo: { width, height }, faces, leftOut, revision, fit } = this._get(id);
    return { id, width, height, revision, fit: { ...fit }, left_out: leftOut,
      faces: faces.map(({ quad, likeness, flags }) => ({
        box: [Math.min, Math.max].flatMap((pick) => [pick(...quad.map(([x]) => x)) / width,
          pick(...quad.map(([, y]) => y)) / height]),
        likeness, flags, warning: this._warning(likeness),
      })) };
  }

  _warning(likeness) {
    const line = this.restyler.model.defaults.fit_likeness_line;
    if (likeness === null || line === 0 || likeness >= line) return null;
    return `the face fitted to the photo may not be recognised; likeness: ${likeness.toFixed(3)}`;
  }

  leave(id) {
    this.sitters.delete(id);
  }

  // Restyle a face; return the file, which holds its recipe.
  async picture(id, options) {
    const sitter = this._get(id), face = sitter.faces[options.face];
    if (face === undefined) throw { status: 422, error: "no such face in the photo" };
    const rgb = await this.queue.run(PICTURE, async () =>
      toImage(await this.restyler.restyle(face.mapped, options), options.size));
    const warning = this._warning(face.likeness);
    const facts = { ...recipe(this.restyler.model, options), photo: sitter.digest,
      face: options.face ? String(options.face) : null, fit_steps: "0",
      likeness: face.likeness === null ? null : face.likeness.toFixed(3), warning };
    return resultFile(rgb, options.format, prefixed(facts));
  }

  // Return the crop of a face as a file.
  photo(id, face) {
    const { photo, faces } = this._get(id), { quad } = faces[face];
    const side = Math.min(SHOWN_PX, Math.max(LEAST_SHOWN_PX, Math.round(quadSide(quad))));
    return jpegFile(cropQuad(photo, quad, side), QUALITY);
  }
}
