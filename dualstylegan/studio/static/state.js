// What the page shows, and what its controls ask for.

import { $, spoken } from "./talk.js";

export const state = { styles: [], own: [], file: null, sitter: null, face: 0, largest: 1024 };

export const chosen = (group) => document.querySelector(`input[name="${group}"]:checked`)?.value;

export const labelOf = (name) =>
  spoken([...state.styles, ...state.own].find((style) => style.name === name)?.label ?? name);

// Style, dials, size and format of a picture.
export function look(size, format) {
  const query = new URLSearchParams({ size: Math.min(size, state.largest), format });
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
