// Files of the site that are large: fetched with their progress, checked by their digests, kept in
// the browser's cache, and unpacked.

const CACHE = "portrait-studio-model";
const store = async () => (globalThis.caches ? caches.open(CACHE).catch(() => null) : null);

async function digestOf(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Fetch all of a response with its progress.
async function download(address, length, advance) {
  const answer = await fetch(address);
  if (!answer.ok) throw new TypeError(`${answer.status} for ${address}`);
  const bytes = new Uint8Array(length), reader = answer.body.getReader();
  let at = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (at + value.length > length) throw new TypeError(`${address} is longer than it should be`);
    bytes.set(value, at);
    at += value.length;
    advance(value.length);
  }
  if (at !== length) throw new TypeError(`${address} ends early`);
  return bytes;
}

// Unpack a file; halves: its bytes of even places stand before those of odd ones.
async function unpacked(bytes, halves) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const buffer = await new Response(stream).arrayBuffer();
  if (!halves) return buffer;
  const apart = new Uint8Array(buffer), joined = new Uint8Array(apart.length);
  const middle = Math.ceil(apart.length / 2);
  for (let at = 0; at < middle; at++) joined[2 * at] = apart[at];
  for (let at = middle; at < apart.length; at++) joined[2 * (at - middle) + 1] = apart[at];
  return joined.buffer;
}

export class Files {
  // base: address of the site; described: length and digest of each file by its path.
  constructor(base, described) {
    Object.assign(this, { base, described });
  }

  _address(path) {
    const address = new URL(path, this.base);
    address.search = `?sha=${this.described[path].sha256.slice(0, 16)}`;
    return address.href;
  }

  // Fetch some files, each unpacked; `progress` is called with bytes done, and the number of all.
  async all(paths, progress) {
    const total = paths.reduce((sum, path) => sum + this.described[path].length, 0);
    let done = 0;
    const advance = (count) => progress(done += count, total), buffers = [];
    for (const path of paths) {
      const bytes = await this._bytes(path, advance);
      buffers.push(await unpacked(bytes, this.described[path].halves));
    }
    return buffers;
  }

  async _bytes(path, advance) {
    const { length, sha256 } = this.described[path], address = this._address(path);
    const cache = await store(), kept = await cache?.match(address);
    if (kept) {
      const bytes = await kept.arrayBuffer();
      advance(bytes.byteLength);
      return bytes;
    }
    const bytes = await download(address, length, advance);
    // digests are offered to secure pages alone, as is the cache
    if (crypto.subtle && (await digestOf(bytes)) !== sha256) {
      throw new TypeError(`${path} is not the file that the page needs`);
    }
    await cache?.put(address, new Response(bytes)).catch(() => {});
    return bytes;
  }

  // Forget the files of older versions of the site.
  async tidy() {
    const cache = await store(), kept = Object.keys(this.described).map((path) => this._address(path));
    for (const request of (await cache?.keys()) ?? []) {
      if (request.url.startsWith(this.base) && !kept.includes(request.url)) await cache.delete(request);
    }
  }
}
