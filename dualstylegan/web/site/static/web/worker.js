// Worker of the site: all that the page's engine asks for is computed here, beside the page.

import { ShapePredictor } from "./face/predictor.js";
import { Files } from "./net/files.js";
import { Live } from "./net/live.js";
import { Networks, chooseRuntime, processorOf, threads } from "./net/networks.js";
import { Photos } from "./net/photos.js";
import { Queue } from "./net/queue.js";
import { Restyler } from "./net/codes.js";
import { readTensors } from "./net/safetensors.js";

const BASE = new URL("../../", import.meta.url).href;
// Of means of squares, in [-1, 1]: more than rounding, less than anything visible.
const MAX_DIFFERENCE = 0.02;
const queue = new Queue();
let parts = null;

// Fetch files by their paths; `tell` is called as they come.
function fetchAll(files, paths, tell) {
  const started = performance.now();
  return files.all(paths, (done, total) => {
    const seconds = (performance.now() - started) / 1000;
    tell({ phase: "fetching", done, total, left: (seconds / done) * (total - done) });
  });
}

// Start a runtime and open the graphs in it; return what restyles and what finds faces.
async function open(site, runtime, tell) {
  const { model } = site, files = new Files(BASE, site.files), graphs = Object.entries(model.graphs);
  const shared = model.weights ? [model.weights] : [];
  const paths = [runtime.wasm, model.landmarks, model.styles, ...shared,
    ...graphs.map(([, { file }]) => file)];
  const [wasm, landmarks, styles, ...rest] = await fetchAll(files, paths, tell);
  const weights = shared.length ? rest.shift() : null;
  const networks = await Networks.start(new URL(runtime.module, BASE).href, wasm, runtime.provider);
  for (const [index, [name, { uses_weights: uses }]] of graphs.entries()) {
    tell({ phase: "opening", done: index, total: graphs.length });
    const provider = name.startsWith("render-") ? runtime.provider : "wasm";
    await networks.open(name, rest[index], uses ? weights : null, provider);
  }
  const packed = readTensors(landmarks), codes = readTensors(styles).tensors.mapped.data;
  const predictor = new ShapePredictor(packed.tensors, JSON.parse(packed.meta.json).grid);
  files.tidy().catch(() => {});
  return { restyler: new Restyler(networks, model, byName(codes, model)),
    finder: { network: networks.detector(), predictor } };
}

// Open the site's model in the runtime that this browser is best at.
async function prepare(site, tell) {
  let runtime = await chooseRuntime(site.runtimes), opened = null;
  if (runtime.provider === "webgpu") {
    opened = await open(site, runtime, tell).catch(() => null);
    const wrong = await opened?.restyler.difference().catch(() => Infinity);
    if (!(wrong < MAX_DIFFERENCE)) [runtime, opened] = [processorOf(site.runtimes), null];
  }
  opened ??= await open(site, runtime, tell);
  const { restyler, finder } = opened;
  parts = { photos: new Photos(restyler, finder, queue), live: new Live(restyler, finder, queue) };
  return { provider: runtime.provider, threads: threads(), difference: await restyler.difference() };
}

// Return the codes of the styles by name.
function byName(codes, { names, rows, width }) {
  const size = rows * width;
  return Object.fromEntries(names.map(({ name }, index) =>
    [name, codes.slice(index * size, (index + 1) * size)]));
}

const calls = {
  prepare: (site, tell) => prepare(site, tell),
  read: (file) => parts.photos.read(file),
  sitter: (id) => parts.photos.sitter(id),
  leave: (id) => parts.photos.leave(id),
  picture: (id, options) => parts.photos.picture(id, options),
  photo: (id, face) => parts.photos.photo(id, face),
  goLive: () => parts.live.begin(),
  frame: (id, bitmap, options) => parts.live.frame(id, bitmap, options),
  leaveLive: (id) => parts.live.leave(id),
};

// A message names a call, its number and its arguments; the answer has the number and a value or an
// error. What is told on the way has the number alone.
self.onmessage = async ({ data: { call, number, given } }) => {
  try {
    const tell = (told) => self.postMessage({ number, told });
    self.postMessage({ number, value: await calls[call](...given, tell) });
  } catch (error) {
    const { error: problem, found, limit, fix, status = 500, message } = error;
    self.postMessage({ number, error: { error: problem ?? message, found, limit, fix, status } });
  }
};
