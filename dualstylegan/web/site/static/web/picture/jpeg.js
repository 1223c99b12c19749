// JPEG files of RGB images, with facts as JSON in the EXIF comment, where the library puts them.

import { join, number } from "./bytes.js";
import { toCanvas } from "./pixels.js";

const text = (words) => new TextEncoder().encode(words);
const EXIF_POINTER = 0x8769, USER_COMMENT = 0x9286, LONG = 4, UNDEFINED = 7;

const entry = (tag, type, count, value) =>
  join(number(tag, 2, true), number(type, 2, true), number(count, 4, true), number(value, 4, true));

function exif(facts) {
  const ascii = JSON.stringify(facts).replace(/[^ -~]/g, (letter) =>
    `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const comment = text(`ASCII\0\0\0${ascii}`), one = number(1, 2, true), end = number(0, 4, true);
  // two directories of one entry each: the pointer to the second, and the comment behind it
  const tiff = join(text("II*\0"), number(8, 4, true), one, entry(EXIF_POINTER, LONG, 1, 26), end,
    one, entry(USER_COMMENT, UNDEFINED, comment.length, 44), end, comment);
  return join(text("Exif\0\0"), tiff);
}

// Return a file; facts may be null.
export async function jpegFile(rgb, quality, facts = null) {
  const canvas = new OffscreenCanvas(rgb.width, rgb.height);
  canvas.getContext("2d").putImageData(toCanvas(rgb), 0, 0);
  const blob = await canvas.convertToBlob({ type: "image/jpeg", quality });
  if (facts === null) return blob;
  const bytes = new Uint8Array(await blob.arrayBuffer()), segment = exif(facts);
  const parts = [bytes.subarray(0, 2), number(0xffe1, 2), number(segment.length + 2, 2), segment,
    bytes.subarray(2)];
  return new Blob(parts, { type: "image/jpeg" });
}
