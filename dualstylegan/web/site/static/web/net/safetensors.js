// Reading of safetensors files: an 8-byte length, a header in JSON, and the tensors' bytes.

const TYPES = { F32: Float32Array, I16: Int16Array, U8: Uint8Array, I64: BigInt64Array };

// Return tensors by name, {shape, data}, and the metadata, all of whose values are JSON.
export function readTensors(buffer) {
  const start = 8 + Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, start - 8)));
  const { __metadata__: meta = {}, ...described } = header;
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets: [from, to] }] of Object.entries(described)) {
    // a copy: the offsets need not be multiples of the elements' size
    tensors[name] = { shape, data: new TYPES[dtype](buffer.slice(start + from, start + to)) };
  }
  return { tensors, meta };
}
