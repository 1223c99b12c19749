// Pictures of a photo: the newest wish wins.

import { DRAG_PX, SOON_PX, picture } from "./engine.js";
import { chosen, labelOf, look, state } from "./state.js";
import { $, complain, tell } from "./talk.js";

const WHOLE_PX = 512, REST_MS = 160;
const lane = { wish: null, running: false, abort: null, moving: false, timer: 0, shown: null };
// Called with a question about the sitter, whom the engine may have forgotten.
let withSitter = null;

export function remembered(ask) {
  withSitter = ask;
}

// Return a picture as a file.
export function file(size, format, extra = {}, signal) {
  const query = look(size, format);
  query.set("face", state.face);
  if ($("whole").checked) query.set("whole", 1);
  for (const [name, value] of Object.entries(extra)) query.set(name, value);
  return withSitter((id) => picture(id, query, signal));
}

const sizes = () => [SOON_PX, $("whole").checked ? WHOLE_PX : state.largest];

function wish(sizes, moving) {
  if (!state.sitter || !chosen("style")) return;
  lane.wish = { sizes, moving };
  if (!lane.moving) lane.abort?.abort();
  if (!lane.running) pump();
}

// A dial moves: small pictures, until it rests.
export function drag() {
  clearTimeout(lane.timer);
  lane.timer = setTimeout(rest, REST_MS);
  wish([DRAG_PX], true);
}

export function rest() {
  clearTimeout(lane.timer);
  wish([...new Set(sizes().map((px) => Math.min(px, state.largest)))], false);
}

export const abort = () => lane.abort?.abort();

async function pump() {
  lane.running = true;
  while (lane.wish && state.sitter) {
    const { sizes: [size, ...later], moving } = lane.wish;
    const aim = { file: state.file, face: state.face, whole: $("whole").checked };
    lane.wish = null;
    lane.abort = new AbortController();
    lane.moving = moving;
    try {
      await show(await file(size, "jpg", { view: "page", draft: 1 }, lane.abort.signal), aim);
      if (aim.file !== state.file) continue;
      complain(null);
      if (lane.wish === null && later.length) lane.wish = { sizes: later, moving };
      else if (lane.wish === null && !moving) settled();
    } catch (error) {
      if (error.name !== "AbortError" && error.status !== 409) complain(error);
    }
  }
  lane.running = false;
}

// Show a picture, unless its aim is out of date.
export async function show(blob, aim) {
  const stale = aim && (aim.file !== state.file || aim.face !== state.face ||
    aim.whole !== $("whole").checked);
  if (stale) return;
  const url = URL.createObjectURL(blob), ready = new Image();
  await new Promise((done, fail) => Object.assign(ready, { onload: done, onerror: fail, src: url }));
  $("result").src = url;
  if (lane.shown) URL.revokeObjectURL(lane.shown);
  lane.shown = url;
  $("view").classList.remove("busy");
  $("view").dataset.px = ready.naturalWidth;
  $("download").disabled = false;
}

function settled() {
  $("result").alt = `The portrait in the style ${labelOf(chosen("style"))}`;
  if (!state.sitter || ["ready", "failed"].includes(state.sitter.fit.state)) {
    tell("Done. Hold the picture to see the photo.");
  }
}
