// The studio's page. It asks the engine behind it and keeps nothing of its own.

import { CAN_SHOW_WHOLE, leave, photo, prepare, read, sitter as askSitter } from "./engine.js";
import { live } from "./live.js";
import { photos } from "./photos.js";
import { abort, drag, file as pictureFile, remembered, rest, show } from "./pictures.js";
import { remarks } from "./remarks.js";
import { chosen, labelOf, look, state } from "./state.js";
import { adding, figure, list } from "./styles.js";
import { $, complain, save, tell, wait } from "./talk.js";

const POLL_MS = 400, PNG_MEGAPIXELS = 12;

function remark() {
  $("notice").textContent = state.sitter ? remarks(state.sitter, state.face) : "";
  $("notice").hidden = !$("notice").textContent;
}

// ---- the photo ----------------------------------------------------------------------------------

// Make room for the pictures of a photo (phase `ready`) or of a camera (`live`).
function clear(phase, file) {
  complain(null);
  abort();
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

// Wait until the engine is ready, and show for how long. asked: a visitor waits for it.
async function ready(asked = true) {
  try {
    const told = await prepare((words, share) => {
      tell(words);
      $("fit").hidden = false;
      $("fit").value = share;
    }, asked);
    if (told && !asked && document.body.dataset.phase === "empty") tell(told);
  } finally {
    $("fit").hidden = true;
  }
}

async function open(file) {
  camera.stop();
  clear("ready", file);
  try {
    await ready();
    tell("Looking for the face …");
    const sitter = await read(file);
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
  $("fit").hidden = $("download").disabled = true;
  $("whole").disabled = false;
  tell("");
  complain(error);
}

// A visitor who comes back after a while finds the photo forgotten: it is sent once more.
remembered(async (ask) => {
  try {
    return await ask(state.sitter.id);
  } catch (error) {
    if (error.status !== 404 || !state.file || !state.sitter) throw error;
    state.sitter = await read(state.file);
    follow(state.sitter.id);
    return ask(state.sitter.id);
  }
});

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
      const sitter = await askSitter(id);
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
async function frame() {
  const { sitter, face } = state, whole = $("whole").checked;
  $("view").style.setProperty("--ratio", whole ? sitter.width / sitter.height : 1);
  const address = await photo(sitter.id, whole ? null : face).catch(complain);
  if (address && state.sitter?.id === sitter.id) $("before").src = address;
}

// ---- controls -----------------------------------------------------------------------------------

for (const dial of ["structure", "color", "share"]) {
  $(dial).oninput = () => { figure(dial); drag(); };
  $(dial).onchange = rest;
}
$("preserve").onchange = rest;
$("whole").closest("label").hidden = !CAN_SHOW_WHOLE;
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
    save(await pictureFile(state.largest, format), titled(format));
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

// Leaving the page, the visitor takes everything along.
addEventListener("pagehide", () => {
  if (state.sitter) leave(state.sitter.id);
});

const camera = live({
  show, open, look, ready, leave: reset,
  enter: () => {
    clear("live", null);
    $("view").style.setProperty("--ratio", 1);
    $("result").alt = "You, restyled";
  },
});
adding();
photos(open);
list().catch(complain);
ready(false).catch(complain);
