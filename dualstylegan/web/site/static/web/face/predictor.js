// dlib's shape predictor (Kazemi and Sullivan, 2014), from the packed form of the library's
// portrait/packed_landmarks.py. Shapes are coordinates x, y, x, y, ... as shares of the face's box,
// in single precision as dlib adds them up.

const STEP_BITS = 15, BASIS_BITS = 15;
const f = Math.fround;

export class ShapePredictor {
  // tensors: by name, as in the packed file; grid: bits of the leaves' rounding.
  constructor(tensors, grid) {
    const get = (name) => tensors[name].data;
    [this.cascades, this.trees, this.splits] = tensors.thresholds.shape;
    this.initial = get("initial");
    this.values = this.initial.length;
    this.basis = Float64Array.from(get("basis"));
    this.unit = 2 ** (grid - BASIS_BITS - STEP_BITS);
    this.size = 2 ** -grid;
    Object.assign(this, { indices: get("indices"), thresholds: get("thresholds"), low: get("low"),
      high: get("high"), anchors: get("anchors"), offsets: get("offsets") });
    this.pixels = tensors.anchors.shape[1];
    this.leaves = new Map();
  }

  // Return the shape of the face in a box [left, top, right, bottom], its last pixels included, of
  // an RGB image: whole pixels [x, y].
  predict(rgb, box) {
    const shape = Float32Array.from(this.initial), grey = greyLevels(rgb);
    for (let cascade = 0; cascade < this.cascades; cascade++) {
      const levels = this._levels(grey, rgb, box, shape, cascade);
      for (let tree = 0; tree < this.trees; tree++) {
        const leaf = this._leaf(cascade, this._decide(levels, cascade, tree));
        for (let at = 0; at < shape.length; at++) shape[at] += leaf[at];
      }
    }
    return Array.from({ length: this.values / 2 }, (_, index) => [
      toPixel(shape[2 * index], box[0], box[2]), toPixel(shape[2 * index + 1], box[1], box[3])]);
  }

  // Return the grey values that the splits of a cascade compare.
  _levels(grey, { width, height }, box, shape, cascade) {
    const [a, b] = similarity(this.initial, shape), levels = new Float32Array(this.pixels);
    const [fa, fb] = [f(a), f(b)];
    for (let pixel = 0; pixel < this.pixels; pixel++) {
      const at = cascade * this.pixels + pixel, anchor = 2 * this.anchors[at];
      const dx = this.offsets[2 * at], dy = this.offsets[2 * at + 1];
      const u = f(f(f(fa * dx) + f(-fb * dy)) + shape[anchor]);
      const v = f(f(f(fb * dx) + f(fa * dy)) + shape[anchor + 1]);
      const x = toPixel(u, box[0], box[2]), y = toPixel(v, box[1], box[3]);
      if (x >= 0 && x < width && y >= 0 && y < height) levels[pixel] = grey[y * width + x];
    }
    return levels;
  }

  // Return the index of the leaf that a tree ends in, among those of its cascade.
  _decide(levels, cascade, tree) {
    const start = (cascade * this.trees + tree) * this.splits;
    let node = 0;
    while (node < this.splits) {
      const first = levels[this.indices[2 * (start + node)]];
      const second = levels[this.indices[2 * (start + node) + 1]];
      node = 2 * node + (first - second > this.thresholds[start + node] ? 1 : 2);
    }
    return tree * (this.splits + 1) + node - this.splits;
  }

  // Return a leaf, decoded when it is first met: a picture meets one in sixteen.
  _leaf(cascade, index) {
    const count = this.trees * (this.splits + 1), key = cascade * count + index;
    let leaf = this.leaves.get(key);
    if (leaf === undefined) {
      leaf = this._decode(cascade, index, count);
      this.leaves.set(key, leaf);
    }
    return leaf;
  }

  _decode(cascade, index, count) {
    const { values, basis } = this, codes = new Float64Array(values);
    for (let at = 0; at < values; at++) {
      const place = (cascade * values + at) * count + index;
      const zigzag = this.low[place] + 256 * this.high[place];
      codes[at] = zigzag & 1 ? -(zigzag + 1) / 2 : zigzag / 2;
    }
    const leaf = new Float32Array(values);
    for (let row = 0; row < values; row++) {
      let sum = 0;
      for (let at = 0; at < values; at++) sum += basis[row * values + at] * codes[at];
      leaf[row] = roundHalf(sum * this.unit) * this.size;
    }
    return leaf;
  }
}

function roundHalf(x) {
  const low = Math.floor(x), rest = x - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low;
}

const toPixel = (share, from, to) => Math.floor(share * (to - from) + from + 0.5);

function greyLevels({ width, height, data }) {
  const grey = new Uint8Array(width * height);
  for (let at = 0; at < grey.length; at++) {
    grey[at] = (data[3 * at] + data[3 * at + 1] + data[3 * at + 2]) / 3;
  }
  return grey;
}

// Return [a, b] of the matrix [[a, -b], [b, a]] that maps a shape to another best (Umeyama, 1991).
function similarity(from, to) {
  const count = from.length / 2, mean = [0, 0, 0, 0];
  for (let at = 0; at < count; at++) {
    mean[0] += from[2 * at];
    mean[1] += from[2 * at + 1];
    mean[2] += to[2 * at];
    mean[3] += to[2 * at + 1];
  }
  for (let at = 0; at < 4; at++) mean[at] /= count;
  let along = 0, about = 0, spread = 0;
  for (let at = 0; at < count; at++) {
    const x = from[2 * at] - mean[0], y = from[2 * at + 1] - mean[1];
    const u = to[2 * at] - mean[2], v = to[2 * at + 1] - mean[3];
    along += u * x + v * y;
    about += v * x - u * y;
    spread += x * x + y * y;
  }
  return [along / spread, about / spread];
}
