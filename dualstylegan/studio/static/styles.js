// Tiles of styles: the model's, and those that a visitor adds.

import { addStyle, leaveStyle, modelWith, style as askStyle, styles, thumbnailOf } from "./engine.js";
import { rest } from "./pictures.js";
import { chosen, labelOf, state } from "./state.js";
import { $, Refusal, complain, spoken, tell, wait } from "./talk.js";

const POLL_MS = 400;

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
  if (!$("model").hidden) $("model").href = modelWith(chosen("style"));
}

export function figure(dial) {
  document.querySelector(`output[for="${dial}"]`).textContent = `${$(dial).value} %`;
}

// Show the model's styles, and its defaults.
export async function list() {
  const found = await styles();
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
  const style = await addStyle(file, name);
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
      const { progress } = await askStyle(style.id);
      bar.value = progress.total ? progress.done / progress.total : 0;
      if (progress.state === "failed") throw new Refusal(422, progress.error);
      if (progress.state === "ready") break;
    } catch (error) {
      waiting.remove();
      return complain(error);
    }
  }
  const own = { name: style.id, label: name, thumbnail: thumbnailOf(style.id) };
  state.own.push(own);
  const made = tile("style", own);
  waiting.replaceWith(made);
  $("seconds").prepend(tile("second", own));
  made.querySelector("input").checked = true;
  tell(`The style ${name} is learnt.`);
  named();
  rest();
}

// Set up the dialogue that adds a style, where the engine can.
export function adding() {
  if (!addStyle) return;
  $("add").hidden = false;
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
  addEventListener("pagehide", () => state.own.forEach(({ name }) => leaveStyle(name)));
}
