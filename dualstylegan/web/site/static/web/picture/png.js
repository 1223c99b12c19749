// PNG files of RGB images, written here: browsers that blur what is read from a canvas, against
// fingerprints, would blur the picture.

import { join, number } from "./bytes.js";

const SIGNATURE = Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10);
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? 0xedb88320 ^ (rest >>> 1) : rest >>> 1;
  return rest;
});

function checksum(bytes) {
  let rest = 0xffffffff;
  for (const byte of bytes) rest = TABLE[(rest ^ byte) & 255] ^ (rest >>> 8);
  return (rest ^ 0xffffffff) >>> 0;
}

const text = (words) => new TextEncoder().encode(words);

function chunk(name, content) {
  const named = join(text(name), content);
  return join(number(content.length, 4), named, number(checksum(named), 4));
}

// Return a file with facts as international text chunks.
export async function pngFile({ width, height, data }, facts) {
  const row = 3 * width, lines = new Uint8Array((row + 1) * height);
  for (let y = 0, to = 0; y < height; y++) {
    lines[to++] = 1;  // filter: the difference from the pixel to the left
    for (let x = 0; x < row; x++) {
      const at = y * row + x;
      lines[to++] = data[at] - (x < 3 ? 0 : data[at - 3]);
    }
  }
  const packed = new Blob([lines]).stream().pipeThrough(new CompressionStream("deflate"));
  const content = new Uint8Array(await new Response(packed).arrayBuffer());
  const header = join(number(width, 4), number(height, 4), Uint8Array.of(8, 2, 0, 0, 0));
  const words = Object.entries(facts).map(([key, value]) =>
    chunk("iTXt", join(text(key), new Uint8Array(5), text(value))));
  const parts = [SIGNATURE, chunk("IHDR", header), ...words, chunk("IDAT", content),
    chunk("IEND", new Uint8Array(0))];
  return new Blob(parts, { type: "image/png" });
}
