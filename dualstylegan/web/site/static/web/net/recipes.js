// Recipes of results as text, by the names that the library gives their parts.

const share = (x) => String(Number(x.toPrecision(4)));

// Return the facts of model, style and options.
export function recipe(model, { mix, structure, color, preserveColor, size }) {
  const list = Object.entries(mix);
  return {
    model: model.name, model_digest: model.digest.slice(0, 16),
    style: list.length === 1 ? list[0][0] : list.map(([name, x]) => `${name}:${share(x)}`).join(" "),
    structure: String(structure), color: String(color), truncation: String(model.defaults.truncation),
    preserve_color: preserveColor ? "true" : null, size: String(size),
  };
}

// Return the facts that apply, under the keys that files hold them by.
export function prefixed(facts) {
  const stated = Object.entries(facts).filter(([, value]) => value !== null && value !== undefined);
  return Object.fromEntries(stated.map(([key, value]) => [`dualstylegan:${key}`, value]));
}

// Return the beginning of the SHA-256 of an image's size and pixels; null in pages that are not secure.
export async function pixelsDigest({ width, height, data }) {
  if (!crypto.subtle) return null;
  const head = new TextEncoder().encode(`${width} ${height}\n`);
  const digest = await crypto.subtle.digest("SHA-256", await new Blob([head, data]).arrayBuffer());
  const bytes = Array.from(new Uint8Array(digest).subarray(0, 8));
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
