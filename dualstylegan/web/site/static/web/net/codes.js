// Codes of faces and styles, and their rendering, as in the library: passes of the encoder, mixes of
// styles, weights of rows. Codes are rows of `width` values in one array.

import { resizePlanes } from "./tensors.js";

const SAME_PERSON = 1.2;
const f = Math.fround;

export class Restyler {
  // networks: opened graphs; model: the description in site.json; styles: codes in W+ by name.
  constructor(networks, model, styles) {
    Object.assign(this, { networks, model, styles });
    this.sizes = model.sizes;
    this.shape = [1, model.rows, model.width];
  }

  // Encode the planes of a face; `inside` is 1 where they show the picture, null: everywhere.
  async encode(photo, inside) {
    const { face_px: px, pass_px: side, encoder_px: seen } = this.model;
    const first = await this.encodeOnce(photo);
    if (!side || this.model.passes < 2) return first;
    const small = resizePlanes(photo, px, seen), wanted = await this.recognise(small, seen);
    let code = first;
    for (let pass = 1; pass < this.model.passes; pass++) {
      const rendered = resizePlanes(await this.face(await this.map(code), side), side, seen);
      if (inside) keepInside(rendered, small, inside);
      const reached = await this.recognise(rendered, seen);
      code = await this.encodeOnce(photo, { code, rendering: rendered, wanted, reached, step: 1 });
    }
    return code;
  }

  // Run one pass of the encoder, the first where there is none before.
  async encodeOnce(photo, before = null) {
    const { face_px: px, encoder_px: seen, encoder } = this.model;
    const shapes = { photo: [1, 3, px, px], code: this.shape, rendering: [1, 3, seen, seen],
      wanted: [1, 128], reached: [1, 128], step: [] };
    const given = { photo, step: 0, ...before }, inputs = {};
    for (const name of encoder) {
      const size = shapes[name].reduce((product, side) => product * side, 1);
      const value = given[name] ?? new Float32Array(size);
      inputs[name] = [shapes[name], name === "step" ? Float32Array.of(value) : value];
    }
    return this.networks.one("encoder", inputs);
  }

  map(code) {
    return this.networks.one("mapping", { code: [this.shape, code] });
  }

  recognise(planes, px) {
    return this.networks.one(`recognition-${px}`, { face: [[1, 3, px, px], planes] });
  }

  // Render planes of g; by G whose rows all have the weight 0, where that was exported.
  face(mapped, size) {
    const own = `face-${size}`;
    if (this.networks.has(own)) return this.networks.one(own, { face: [this.shape, mapped] });
    return this.render(mapped, mapped, new Float32Array(this.model.rows), 1, size);
  }

  // Render planes of G at a size that was exported.
  render(face, style, weights, truncation, size) {
    return this.networks.one(`render-${size}`, {
      face: [this.shape, face], style: [this.shape, style],
      weights: [[this.model.rows], weights], truncation: [[], Float32Array.of(truncation)],
    });
  }

  // Return the largest difference of a picture's squares from what the export has measured: some
  // graphics processors compute wrongly, and say nothing.
  async difference() {
    const { names: [{ name }], rows, check: { px, means } } = this.model, [size] = this.sizes;
    const code = this.styles[name], step = size / px;
    const planes = await this.render(code, code, new Float32Array(rows).fill(1), 1, size);
    const found = new Float64Array(means.length);
    planes.forEach((value, at) => {
      const x = Math.floor((at % size) / step), row = Math.floor(at / size);
      const square = Math.floor(row / size) * px * px + Math.floor((row % size) / step) * px + x;
      found[square] += value / step ** 2;
    });
    return Math.max(...means.map((mean, at) => Math.abs(mean - found[at])));
  }

  // Render a face's code in W+ by the options of a picture; returns planes of `options.size`.
  async restyle(face, options) {
    const { rows, width, structure_rows: structure, defaults } = this.model;
    const style = this.mixed(options.mix);
    if (options.preserveColor) style.set(face.subarray(structure * width), structure * width);
    const weights = Float32Array.from({ length: rows }, (_, row) =>
      (row < structure ? options.structure : options.color));
    const size = this.sizes.find((px) => px >= options.size) ?? this.sizes.at(-1);
    const planes = await this.render(face, style, weights, defaults.truncation, size);
    return resizePlanes(planes, size, Math.min(size, options.size));
  }

  // Return the code of a mix, in W+: shares by name, which sum to 1.
  mixed(shares) {
    const mix = new Float32Array(this.model.rows * this.model.width), list = Object.entries(shares);
    for (const [name, share] of list) {
      const code = this.styles[name];
      if (list.length === 1) return code.slice();
      for (let at = 0; at < mix.length; at++) mix[at] += f(f(share) * code[at]);
    }
    return mix;
  }

  // Return the likeness of the face that g renders of a code in W+ to the photo, both mirrored: by
  // dlib, 1 for equal embeddings; null where face recognition is not at hand.
  async likeness(mapped, photo, inside) {
    const { face_px: px, likeness_px: side, recognition } = this.model;
    if (!recognition.includes(px)) return null;
    const drawn = (await this.face(mapped, side)).map((x) => Math.min(1, Math.max(-1, x)));
    const rendered = resizePlanes(drawn, side, px).slice();
    if (inside) keepInside(rendered, photo, inside);
    const [first, second] = [await this.recognise(mirrored(rendered, px), px),
      await this.recognise(mirrored(photo, px), px)];
    return 1 - Math.hypot(...first.map((value, at) => value - second[at])) / SAME_PERSON;
  }
}

// Replace what lies outside of the picture by the photo's own planes, in place.
function keepInside(planes, photo, inside) {
  for (let at = 0; at < planes.length; at++) {
    if (!inside[at % inside.length]) planes[at] = photo[at];
  }
}

function mirrored(planes, side) {
  return planes.map((_, at) => {
    const column = at % side;
    return planes[at - column + side - 1 - column];
  });
}
