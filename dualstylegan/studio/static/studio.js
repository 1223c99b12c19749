// The studio's page. It asks the REST interface behind it and keeps nothing of its own.

import { live } from "./live.js";
import { photos } from "./photos.js";
import { remarks } from "./remarks.js";
import { $, Refusal, complain, forget, json, request, save, spoken, tell, wait } from "./talk.js";

const DRAG_PX = 64, SOON_PX = 256, WHOLE_PX = 512, REST_MS = 160, POLL_MS = 400;
const PNG_MEGAPIXELS = 12;
const state = { styles: [], own: [], file: null, sitter: null, face: 0, largest: 1024 };

function remark() {
  $("notice").textContent = state.sitter ? remarks(state.sitter, state.face) : "";
  $("notice").hidden = !$("notice").textContent;
}

// ---- pictures: the newest wish wins -------------------------------------------------------------

const lane = { wish: null, running: false, abort: null, size: 0, timer: 0, shown: null };

const chosen = (group) => document.querySelector(`input[name="${group}"]:checked`)?.value;

// Style, dials, size and format of a picture.
function look(size, format) {
  const query = new URLSearchParams({ size, format });
  const first = chosen("style"), second = $("mix").hidden ? undefined : chosen("second");
  const share = Number($("share").value) / 100;
  if (second && second !== first && share > 0) {
    if (share < 1) query.append("style", `${first}:${(1 - share).toFixed(2)}`);
    query.append("style", `${second}:${share.toFixed(2)}`);
  } else {
    query.append("style", first);
  }
  for (const dial of ["structure", "color"]) query.set(dial, Number($(dial).value) / 100);
  if ($("preserve").checked) query.set("preserve_color", 1);
  return query;
}

function picture(size, format, extra = {}, signal) {
  const query = look(size, format);
  query.set("face", state.face);
  if ($("whole").checked) query.set("whole", 1);
  for (const [name, value] of Object.entries(extra)) query.set(name, value);
  return withSitter((id) => request(`api/sitters/${id}/picture?${query}`, { signal }));
}

// A visitor who comes back after a while finds the photo forgotten: it is sent once more.
async function withSitter(ask) {
  try {
    return await ask(state.sitter.id);
  } catch (error) {
    if (error.status !== 404 || !state.file || !state.sitter) throw error;
    state.sitter = await json("api/sitters", { method: "POST", body: state.file });
    follow(state.sitter.id);
    return ask(state.sitter.id);
  }
}

const sizes = () => [SOON_PX, $("whole").checked ? WHOLE_PX : state.largest];

function wish(list) {
  if (!state.sitter || !chosen("style")) return;
  lane.wish = list;
  if (lane.size > DRAG_PX) lane.abort?.abort();
  if (!lane.running) pump();
}

function drag() {
  clearTimeout(lane.timer);
  lane.timer = setTimeout(rest, REST_MS);
  wish([DRAG_PX]);
}

function rest() {
  clearTimeout(lane.timer);
  wish([...new Set(sizes().map((px) => Math.min(px, state.largest)))]);
}

async function pump() {
  lane.running = true;
  while (lane.wish && state.sitter) {
    const list = lane.wish, [size, ...later] = list;
    const aim = { file: state.file, face: state.face, whole: $("whole").checked };
    lane.wish = null;
    lane.abort = new AbortController();
    lane.size = size;
    try {
      const answer = await picture(size, "jpg", { view: "page", draft: 1 }, lane.abort.signal);
      await show(await answer.blob(), aim);
      if (aim.file !== state.file) continue;
      complain(null);
      if (lane.wish === null && later.length) lane.wish = later;
      else if (lane.wish === null && size > DRAG_PX) settled();
    } catch (error) {
      if (error.name !== "AbortError" && error.status !== 409) complain(error);
    }
  }
  lane.running = false;
}

async function show(blob, aim) {
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
  const name = labelOf(chosen("style"));
  $("result").alt = `The portrait in the style ${name}`;
  if (!state.sitter || ["ready", "failed"].includes(state.sitter.fit.state)) {
    tell("Done. Hold the picture to see the photo.");
  }
}

// ---- the photo ----------------------------------------------------------------------------------

// Make room for the pictures of a photo (phase `ready`) or of a camera (`live`).
function clear(phase, file) {
  complain(null);
  lane.abort?.abort();
  if (state.sitter) leave(state.sitter.id);
  Object.assign(state, { sitter: null, file, face: 0 });
  document.body.dataset.phase = phase;
  $("welcome").hidden = true;
  $("view").hidden = $("another").hidden = false;
  $("again").hidden = $("live").hidden || phase === "live";
  $("whole").disabled = phase === "live";
  $("under").hidden = $("fit").hidden = $("notice").hidden = $("download").disabled = true;
  $("result").removeAttribute("src");
  $("before").removeAttribute("src");
  $("view").classList.add("busy");
}

async function open(file) {
  camera.stop();
  clear("ready", file);
  tell("Looking for the face …");
  try {
    const sitter = await json("api/sitters", { method: "POST", body: file });
    if (state.file !== file) return leave(sitter.id);
    state.sitter = sitter;
  } catch (error) {
    if (state.file === file) reset(error);
    return;
  }
  $("under").hidden = false;
  tell("A first picture; the likeness follows.");
  faces();
  frame();
  rest();
  follow(state.sitter.id);
}

function reset(error) {
  document.body.dataset.phase = "empty";
  Object.assign(state, { file: null, sitter: null });
  $("welcome").hidden = false;
  $("view").hidden = $("under").hidden = $("another").hidden = $("again").hidden = true;
  $("download").disabled = true;
  $("whole").disabled = false;
  tell("");
  complain(error);
}

const leave = (id) => forget(`api/sitters/${id}`);

// Wait for the fitted face, which replaces the first one.
async function follow(id) {
  while (state.sitter?.id === id) {
    const { fit, revision } = state.sitter;
    $("fit").hidden = !["waiting", "working"].includes(fit.state);
    $("fit").value = fit.total ? fit.done / fit.total : 0;
    remark();
    if (fit.state === "failed") {
      if (fit.error) complain(fit.error);
      return;
    }
    if (fit.state === "ready") return;
    await wait(POLL_MS);
    try {
      const sitter = await json(`api/sitters/${id}`);
      if (state.sitter?.id !== id) return;
      state.sitter = sitter;
      if (sitter.revision > revision) {
        faces();
        rest();
      }
    } catch (error) {
      if (error.status === 404) return;
      complain(error);
      await wait(5 * POLL_MS);
    }
  }
}

function faces() {
  const many = state.sitter.faces.length > 1;
  $("faces").hidden = !many;
  $("faces").replaceChildren(...state.sitter.faces.map((_, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet";
    button.textContent = `Face ${index + 1}`;
    button.setAttribute("aria-pressed", index === state.face && !$("whole").checked);
    button.onclick = () => {
      state.face = index;
      $("whole").checked = false;
      faces();
      frame();
      remark();
      rest();
    };
    return button;
  }));
}

// Shape of the picture, and the photo beside which it is compared.
function frame() {
  const { sitter } = state, whole = $("whole").checked;
  $("view").style.setProperty("--ratio", whole ? sitter.width / sitter.height : 1);
  const part = whole ? "" : `?face=${state.face}`;
  $("before").src = `api/sitters/${sitter.id}/photo${part}`;
}

// ---- styles -------------------------------------------------------------------------------------

const labelOf = (name) =>
  spoken([...state.styles, ...state.own].find((style) => style.name === name)?.label ?? name);

function tile(group, style) {
  const label = document.createElement("label"), input = document.createElement("input");
  label.className = "tile";
  label.title = spoken(style.label);
  Object.assign(input, { type: "radio", name: group, value: style.name, className: "hidden" });
  input.setAttribute("aria-label", spoken(style.label));
  input.onchange = () => { named(); rest(); };
  label.append(input);
  if (style.thumbnail) {
    label.append(Object.assign(new Image(), { src: style.thumbnail, alt: "", loading: "lazy" }));
  } else {
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = spoken(style.label);
    label.append(name);
  }
  return label;
}

function named() {
  const legend = document.querySelector("#panel legend"), words = document.createElement("span");
  words.id = "chosen";
  words.textContent = chosen("style") ? `  ${labelOf(chosen("style"))}` : "";
  legend.replaceChildren("Style ", words);
  $("model").hidden = !state.own.some(({ name }) => name === chosen("style"));
  $("model").href = `api/styles/${chosen("style")}/model`;
}

async function list() {
  const found = await json("api/styles");
  state.styles = found.styles;
  state.largest = found.size;
  $("styles").replaceChildren(...found.styles.map((style) => tile("style", style)));
  $("seconds").replaceChildren(...found.styles.map((style) => tile("second", style)));
  document.querySelector('input[name="style"]').checked = true;
  const second = document.querySelectorAll('input[name="second"]');
  second[Math.min(1, second.length - 1)].checked = true;
  for (const dial of ["structure", "color"]) $(dial).value = 100 * found[dial];
  ["structure", "color", "share"].forEach(figure);
  named();
}

async function learn(file, name) {
  const style = await json(`api/styles?${new URLSearchParams({ name })}`,
    { method: "POST", body: file });
  const waiting = tile("style", { name: style.id, label: name, thumbnail: null });
  const bar = Object.assign(document.createElement("progress"), { max: 1, value: 0 });
  bar.setAttribute("aria-label", `Learning the style ${name}`);
  waiting.append(bar);
  waiting.querySelector("input").disabled = true;
  $("styles").prepend(waiting);
  waiting.scrollIntoView({ block: "nearest" });
  tell(`Learning the style ${name} …`);
  for (;;) {
    await wait(POLL_MS);
    try {
      const { progress } = await json(`api/styles/${style.id}`);
      bar.value = progress.total ? progress.done / progress.total : 0;
      if (progress.state === "failed") throw new Refusal(422, progress.error);
      if (progress.state === "ready") break;
    } catch (error) {
      waiting.remove();
      return complain(error);
    }
  }
  const own = { name: style.id, label: name, thumbnail: `api/styles/${style.id}/thumbnail` };
  state.own.push(own);
  const made = tile("style", own);
  waiting.replaceWith(made);
  $("seconds").prepend(tile("second", own));
  made.querySelector("input").checked = true;
  tell(`The style ${name} is learnt.`);
  named();
  rest();
}

// ---- controls -----------------------------------------------------------------------------------

function figure(dial) {
  document.querySelector(`output[for="${dial}"]`).textContent = `${$(dial).value} %`;
}

for (const dial of ["structure", "color", "share"]) {
  $(dial).oninput = () => { figure(dial); drag(); };
  $(dial).onchange = rest;
}
$("preserve").onchange = rest;
$("whole").onchange = () => {
  if (!state.sitter) return;
  faces();
  frame();
  rest();
};
$("mixing").onclick = () => {
  const off = ($("mix").hidden = !$("mix").hidden);
  $("mixing").setAttribute("aria-expanded", !off);
  $("mixing").textContent = off ? "Mix in a second" : "No second style";
  rest();
};
$("compare").oninput = () => {
  const share = Number($("compare").value);
  $("view").style.setProperty("--share", `${share}%`);
  $("view").classList.toggle("split", share > 0 && share < 100);
};
$("view").onpointerdown = () => $("view").classList.add("held");
for (const kind of ["pointerup", "pointercancel", "blur"]) {
  addEventListener(kind, () => $("view").classList.remove("held"));
}
$("view").oncontextmenu = (event) => { if (event.pointerType === "touch") event.preventDefault(); };

const titled = (format) =>
  `${labelOf(chosen("style")).replace(/[^\p{L}\p{N}]+/gu, "-")}.${format}`;

$("download").onclick = async () => {
  if (camera.open()) return save(camera.picture(), titled("jpg"));
  $("download").disabled = true;
  tell("Making the file …");
  const { sitter } = state, whole = $("whole").checked;
  const huge = whole && sitter.width * sitter.height > PNG_MEGAPIXELS * 1e6;
  const format = huge ? "jpg" : "png";
  try {
    const answer = await picture(state.largest, format);
    save(await answer.blob(), titled(format));
    tell("Downloaded, with its recipe in the file.");
  } catch (error) {
    tell("");
    complain(error);
  }
  $("download").disabled = false;
};

for (const button of document.querySelectorAll("[data-close]")) {
  button.onclick = () => button.closest("dialog").close();
}
$("add").onclick = () => $("adding").showModal();
$("style-file").onchange = () => {
  const [file] = $("style-file").files;
  if (file && !$("style-name").value) $("style-name").value = file.name.replace(/\.[^.]*$/, "");
};
$("adding-form").onsubmit = (event) => {
  event.preventDefault();
  complain(null);
  learn($("style-file").files[0], $("style-name").value).catch(complain);
  $("adding").close();
};
$("adding").onclose = () => $("adding-form").reset();

// Leaving the page, the visitor takes everything along.
addEventListener("pagehide", () => {
  if (state.sitter) leave(state.sitter.id);
  for (const { name } of state.own) forget(`api/styles/${name}`);
});

const camera = live({
  show, open, leave: reset,
  look: (size, format) => look(Math.min(size, state.largest), format),
  enter: () => {
    clear("live", null);
    $("view").style.setProperty("--ratio", 1);
    $("result").alt = "You, restyled";
  },
});
photos(open);
list().catch(complain);
