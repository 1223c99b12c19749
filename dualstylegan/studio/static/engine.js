// Engine of the page: the REST interface of `dualstylegan serve`. The page of a static site has
// another one with the same functions, which computes in the browser.

import { grab } from "./camera.js";
import { Refusal } from "./talk.js";

// Sides in pixels: of a picture while a dial moves, of a first one at rest, of a live one.
export const DRAG_PX = 64, SOON_PX = 256, LIVE_PX = 256;
// Whole photos with their faces in place can be shown.
export const CAN_SHOW_WHOLE = true;
const SENT_PX = 480, SENT_QUALITY = 0.85;

async function request(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, {
      error: "the studio does not answer", fix: "see whether `dualstylegan serve` still runs",
    });
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({ error: `the studio answered ${answer.status}` }));
  throw new Refusal(answer.status, told);
}

const json = async (path, options) => (await request(path, options)).json();

// Forget what the studio keeps at an address, even while the page is being left.
function forget(path) {
  fetch(path, { method: "DELETE", keepalive: true }).catch(() => {});
}

// Be ready, as the studio is; return words about it, if there are any. Another engine calls `tell`
// with words and the share that is done.
export async function prepare(tell, asked) {}

// Return the model's styles and defaults.
export const styles = () => json("api/styles");

// ---- photos -------------------------------------------------------------------------------------

export const read = (file) => json("api/sitters", { method: "POST", body: file });
export const sitter = (id) => json(`api/sitters/${id}`);
export const leave = (id) => forget(`api/sitters/${id}`);

// Return a picture as a file, by its options in a query.
export async function picture(id, query, signal) {
  return (await request(`api/sitters/${id}/picture?${query}`, { signal })).blob();
}

// Return the address of a photo, or of the crop of a face.
export async function photo(id, face = null) {
  return `api/sitters/${id}/photo${face === null ? "" : `?face=${face}`}`;
}

// ---- a live camera ------------------------------------------------------------------------------

export const goLive = async () => (await json("api/live", { method: "POST" })).id;
export const leaveLive = (id) => forget(`api/live/${id}`);

// Return the next frame of a video restyled, as a file; null where it shows no face.
export async function frame(id, video, query, signal) {
  const body = await grab(video, SENT_QUALITY, SENT_PX);
  const answer = await request(`api/live/${id}/frames?${query}`, { method: "POST", body, signal });
  return answer.status === 204 ? null : answer.blob();
}

// Return the progress of the fit of a live face.
export const liveFit = async (id) => (await json(`api/live/${id}`)).fit;

// ---- styles of one's own ------------------------------------------------------------------------

export const addStyle = (file, name) =>
  json(`api/styles?${new URLSearchParams({ name })}`, { method: "POST", body: file });
export const style = (id) => json(`api/styles/${id}`);
export const leaveStyle = (id) => forget(`api/styles/${id}`);
export const thumbnailOf = (id) => `api/styles/${id}/thumbnail`;
export const modelWith = (id) => `api/styles/${id}/model`;
