// Images as arrays: {width, height, channels, data}, rows of interleaved levels from the top left.
// `data` is a Uint8Array of levels, or a Float32Array where a function says so.

export function image(width, height, channels, data = new Uint8Array(width * height * channels)) {
  return { width, height, channels, data };
}

// Python's and numpy's rounding: halves go to the even neighbour.
export function roundEven(x) {
  const low = Math.floor(x), rest = x - low;
  if (rest !== 0.5) return Math.round(x);
  return low % 2 === 0 ? low : low + 1;
}

// Return RGB levels of a canvas' pixels, which are opaque.
export function fromCanvas({ width, height, data }) {
  const rgb = image(width, height, 3);
  for (let from = 0, to = 0; from < data.length; from += 4, to += 3) {
    rgb.data[to] = data[from];
    rgb.data[to + 1] = data[from + 1];
    rgb.data[to + 2] = data[from + 2];
  }
  return rgb;
}

// Return pixels for a canvas.
export function toCanvas(rgb) {
  const pixels = new ImageData(rgb.width, rgb.height);
  for (let from = 0, to = 0; from < rgb.data.length; from += 3, to += 4) {
    pixels.data[to] = rgb.data[from];
    pixels.data[to + 1] = rgb.data[from + 1];
    pixels.data[to + 2] = rgb.data[from + 2];
    pixels.data[to + 3] = 255;
  }
  return pixels;
}

// Return the part of an image inside of [left, top, right, bottom].
export function crop(source, [left, top, right, bottom]) {
  const { width, channels } = source;
  const part = image(right - left, bottom - top, channels);
  for (let y = top; y < bottom; y++) {
    const start = (y * width + left) * channels, stop = (y * width + right) * channels;
    part.data.set(source.data.subarray(start, stop), (y - top) * part.width * channels);
  }
  return part;
}

// Put an image into another one, in place.
export function paste(target, part, left, top) {
  const { channels } = target, row = part.width * channels;
  for (let y = 0; y < part.height; y++) {
    const at = ((top + y) * target.width + left) * channels;
    target.data.set(part.data.subarray(y * row, (y + 1) * row), at);
  }
}

// Turn an image counterclockwise by quarters.
export function turn(source, quarters) {
  if (quarters === 0) return source;
  const { width, height, channels } = source, half = quarters === 2;
  const turned = image(half ? width : height, half ? height : width, channels);
  const [start, right, below] = [[width - 1, width, -1], [width * height - 1, -1, -width],
    [(height - 1) * width, -width, 1]][quarters - 1];
  let to = 0;
  for (let y = 0; y < turned.height; y++) {
    for (let x = 0; x < turned.width; x++) {
      const from = (start + x * right + y * below) * channels;
      for (let c = 0; c < channels; c++) turned.data[to++] = source.data[from + c];
    }
  }
  return turned;
}

// Return `first` where the mask is 255, `second` where it is 0, and mixtures between.
export function composite(first, second, mask) {
  const mixed = image(first.width, first.height, first.channels);
  for (let at = 0; at < mixed.data.length; at++) {
    const share = mask.data[Math.floor(at / first.channels)];
    const sum = second.data[at] * (255 - share) + first.data[at] * share + 128;
    mixed.data[at] = ((sum >> 8) + sum) >> 8;
  }
  return mixed;
}
