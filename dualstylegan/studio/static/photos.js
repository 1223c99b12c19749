// Photos that a visitor brings: chosen, dropped, or taken with the camera.

import { HAS_CAMERA, grab, turnOff, turnOn } from "./camera.js";
import { $, complain } from "./talk.js";

export const PHOTO_QUALITY = 0.95;

// Call `open` with each photo that is brought.
export function photos(open) {
  $("file").onchange = () => {
    const [file] = $("file").files;
    $("file").value = "";
    if (file) open(file);
  };
  $("another").onclick = () => $("file").click();

  let depth = 0;
  const carries = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => {
    if (carries(event) && ++depth) document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => {
    if (carries(event) && --depth <= 0) document.body.classList.remove("dropping");
  });
  addEventListener("dragover", (event) => { if (carries(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    depth = 0;
    document.body.classList.remove("dropping");
    if (event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
  });

  $("camera").hidden = !HAS_CAMERA;
  let stream = null;
  $("camera").onclick = async () => {
    complain(null);
    try {
      stream = await turnOn($("video"), { width: 1280, height: 960 });
    } catch (error) {
      return complain(error);
    }
    $("shot").showModal();
    await $("video").play();
  };
  $("take").onclick = async () => {
    const blob = await grab($("video"), PHOTO_QUALITY);
    $("shot").close();
    open(blob);
  };
  $("shot").onclose = () => turnOff(stream);
}
