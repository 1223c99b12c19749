// Engine of the static site: a worker computes in this browser what the studio's REST interface does
// elsewhere. Nothing leaves the machine.

import { isolated } from "./web/isolation.js";
import { Refusal } from "./talk.js";

export const CAN_SHOW_WHOLE = false;
export const DRAG_PX = 128, SOON_PX = 128, LIVE_PX = 256;
// The site adds no styles.
export const addStyle = null, style = null, leaveStyle = null, thumbnailOf = null, modelWith = null;

const BASE = new URL("../", import.meta.url);
const site = fetch(new URL("site.json", BASE)).then((answer) => answer.json());
const calls = new Map();
let worker = null, number = 0, ready = null, told = null;
const listeners = new Set();

function start() {
  worker = new Worker(new URL("web/worker.js", import.meta.url), { type: "module" });
  worker.onmessage = ({ data }) => {
    const { done, fail, tell } = calls.get(data.number) ?? {};
    if (data.told) return tell?.(data.told);
    calls.delete(data.number);
    if (data.error) fail?.(new Refusal(data.error.status, data.error));
    else done?.(data.value);
  };
  worker.onerror = () => {
    const error = new Refusal(0, { error: "the computation has ended",
      fix: "load the page again; the device may be short of memory" });
    for (const { fail } of calls.values()) fail(error);
    calls.clear();
  };
}

// Ask the worker; `moved` are objects that change hands.
function ask(call, given, moved = [], tell = null) {
  return new Promise((done, fail) => {
    calls.set(++number, { done, fail, tell });
    worker.postMessage({ call, number, given }, moved);
  });
}

async function load() {
  await isolated();
  start();
  try {
    return await ask("prepare", [await site], [], (news) => {
      told = news;
      listeners.forEach((listener) => listener(news));
    });
  } catch (error) {
    ready = null;
    worker.terminate();
    throw new Refusal(0, { error: "the model cannot be loaded", found: error.message,
      fix: "see to the network, and load the page again" });
  }
}

// Be ready: fetch the networks, or take them from the browser's cache, and open them.
// asked: a visitor waits; else those who save data are left alone.
export async function prepare(tell, asked) {
  if (!asked && navigator.connection?.saveData) return null;
  ready ??= load();
  const listener = (news) => tell(words(news), news.done / news.total);
  listeners.add(listener);
  if (told) listener(told);
  try {
    Object.assign(document.body.dataset, await ready);
  } finally {
    listeners.delete(listener);
  }
  return "Ready. From here on, everything happens on this machine.";
}

function words({ phase, done, total, left }) {
  if (phase === "opening") return "Opening the networks …";
  const mega = (bytes) => (bytes / 1e6).toFixed(0);
  const rest = left > 1.5 ? `, ${Math.ceil(left)} s left` : "";
  return `Loading the model: ${mega(done)} of ${mega(total)} MB${rest}`;
}

export async function styles() {
  const { model } = await site;
  const address = (path) => (path ? new URL(path, BASE).href : null);
  return { model: model.name, size: model.sizes.at(-1), structure: model.defaults.structure,
    color: model.defaults.color,
    styles: model.names.map(({ name, label, thumbnail }) => ({ name, label,
      thumbnail: address(thumbnail) })) };
}

// Return the options of a picture, of the query that the REST interface takes.
function options(query) {
  const parts = query.getAll("style").map((text) => {
    const [, name, share] = /^(.*?)(?::([\d.]+))?$/.exec(text);
    return [name, Number(share ?? 1)];
  });
  const total = parts.reduce((sum, [, share]) => sum + share, 0);
  return { mix: Object.fromEntries(parts.map(([name, share]) => [name, share / total])),
    structure: Number(query.get("structure")), color: Number(query.get("color")),
    preserveColor: query.has("preserve_color"), size: Number(query.get("size")),
    face: Number(query.get("face") ?? 0), format: query.get("format") };
}

export const read = (file) => ask("read", [file]);
export const sitter = (id) => ask("sitter", [id]);
export const leave = (id) => ask("leave", [id]);
export const picture = (id, query) => ask("picture", [id, options(query)]);
export const photo = async (id, face) => URL.createObjectURL(await ask("photo", [id, face]));

export const goLive = () => ask("goLive", []);
export const leaveLive = (id) => ask("leaveLive", [id]);

export async function frame(id, video, query) {
  const bitmap = await createImageBitmap(video);
  return ask("frame", [id, bitmap, options(query)], [bitmap]);
}

// The face of the first frame is as good as it becomes.
export const liveFit = async () => ({ state: "ready", done: 0, total: 0 });
