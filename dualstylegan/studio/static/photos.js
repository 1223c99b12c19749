// Photos that a visitor brings: chosen, dropped, or taken with the camera.

import { $, complain } from "./talk.js";

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

  // The camera needs a secure page: this machine itself, or HTTPS.
  $("camera").hidden = !navigator.mediaDevices?.getUserMedia;
  let stream = null;
  $("camera").onclick = async () => {
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: { width: 1280, height: 960 } });
    } catch {
      return complain({ error: "the camera cannot be used",
        fix: "allow it for this page in the browser, or choose a photo" });
    }
    $("video").srcObject = stream;
    $("shot").showModal();
    await $("video").play();
  };
  $("take").onclick = () => {
    const { videoWidth: width, videoHeight: height } = $("video");
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    canvas.getContext("2d").drawImage($("video"), 0, 0);
    canvas.toBlob((blob) => { $("shot").close(); open(blob); }, "image/jpeg", 0.95);
  };
  $("shot").onclose = () => stream?.getTracks().forEach((track) => track.stop());
}
