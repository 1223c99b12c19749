// A live camera: its frames go to the engine one at a time, and are shown restyled.

import { HAS_CAMERA, grab, turnOff, turnOn } from "./camera.js";
import { LIVE_PX, frame, goLive, leaveLive, liveFit } from "./engine.js";
import { PHOTO_QUALITY } from "./photos.js";
import { $, Refusal, complain, tell, wait } from "./talk.js";

// The first frames of a camera are dark until its exposure has settled.
const SETTLE_MS = 400, POLL_MS = 800, PAUSE_MS = 1000;
// Frames over whose time the rate is told.
const COUNTED = 8;
const NO_FACE = "No face in the frame: come closer, and into the light.";

// Frames a second, where several have been shown.
function rate(times) {
  if (times.length < 3) return "";
  const seconds = (times.at(-1) - times[0]) / 1000 / (times.length - 1);
  return `${(1 / seconds).toFixed(seconds < 0.1 ? 0 : 1)} frames a second`;
}

// Set the buttons up. The page gives `enter` and `leave` of its live phase, `ready` (the engine's),
// `look` (the options of a picture of some size and format), `show` (a picture) and `open` (a photo).
export function live(page) {
  let session = null;
  const open = () => session !== null;

  async function begin() {
    if (open()) return;
    const own = { stream: null, id: null, blob: null, told: "", times: [],
      abort: new AbortController() };
    session = own;
    complain(null);
    page.enter();
    $("onair").hidden = $("mirror").hidden = false;
    $("stop").focus();
    try {
      await page.ready();
      if (session !== own) return;
      tell("Starting the camera …");
      own.stream = await turnOn($("mirror"), { width: 640, height: 480 });
      if (session !== own) return turnOff(own.stream);
      own.stream.getTracks()[0].onended = () => stop(new Refusal(0, {
        error: "the camera has gone", fix: "connect it, and begin again" }));
      await $("mirror").play();
      await wait(SETTLE_MS);
      await join(own);
      while (session === own) await step(own);
    } catch (error) {
      if (session === own) stop(error);
    }
  }

  async function join(own) {
    const id = await goLive();
    if (session !== own) return leaveLive(id);
    own.id = id;
    follow(own, id);
  }

  // One frame: the next is sent when this one is answered, so that none can queue.
  async function step(own) {
    if (document.hidden) return wait(PAUSE_MS);
    try {
      const query = page.look(LIVE_PX, "jpg");
      const blob = await frame(own.id, $("mirror"), query, own.abort.signal);
      if (session !== own) return;
      if (blob === null) return tell(NO_FACE);
      own.blob = blob;
      await page.show(blob);
      complain(null);
      own.times = [...own.times.slice(-COUNTED), performance.now()];
      $("rate").textContent = rate(own.times);
      tell(own.told);
    } catch (error) {
      if (session !== own || error.name === "AbortError") return;
      if (error.status === 404) return join(own);  // the studio has forgotten this visit
      if (!error.status) throw error;
      complain(error);
      await wait(PAUSE_MS);
    }
  }

  // Wait for the fitted face, which replaces that of the encoder.
  async function follow(own, id) {
    own.told = "Live, by a first likeness; a better one follows.";
    while (session === own && own.id === id) {
      const fit = await liveFit(id).catch(() => ({ state: "waiting" }));
      if (session !== own || own.id !== id) return;
      const busy = ["waiting", "working"].includes(fit.state);
      $("fit").hidden = !busy || !fit.total;
      $("fit").value = fit.total ? fit.done / fit.total : 0;
      own.told = busy ? own.told : "Live. Stop, or Escape, ends it.";
      await wait(POLL_MS);
    }
  }

  function stop(error = null) {
    const own = session;
    if (own === null) return;
    session = null;
    own.abort.abort();
    turnOff(own.stream);
    $("mirror").srcObject = null;
    if (own.id) leaveLive(own.id);
    $("rate").textContent = "";
    $("onair").hidden = $("mirror").hidden = $("fit").hidden = true;
    page.leave(error);
    $("live").focus();
  }

  $("live").hidden = !HAS_CAMERA;
  $("live").onclick = $("again").onclick = begin;
  $("stop").onclick = () => stop();
  $("keep").onclick = async () => {
    const photo = await grab($("mirror"), PHOTO_QUALITY);
    stop();
    page.open(photo);
  };
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !document.querySelector("dialog[open]")) stop();
  });
  addEventListener("pagehide", () => stop());
  // A photo that is dropped or chosen ends it.
  return { stop, open, picture: () => session?.blob };
}
