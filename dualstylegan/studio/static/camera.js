// The camera: it needs a secure page, this machine itself or HTTPS.

import { Refusal } from "./talk.js";

export const HAS_CAMERA = Boolean(navigator.mediaDevices?.getUserMedia);
const REASONS = {
  NotFoundError: { error: "there is no camera", fix: "connect one, or choose a photo" },
  NotAllowedError: { error: "the page may not use the camera",
    fix: "allow it for this page in the browser, or choose a photo" },
  NotReadableError: { error: "the camera is in use",
    fix: "close the program that uses it, or choose a photo" },
};
const OTHER = { error: "the camera cannot be used", fix: "choose a photo" };

// Show the camera in a video element.
export async function turnOn(video, size) {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { ...size, facingMode: "user" } });
  } catch (error) {
    throw new Refusal(0, REASONS[error.name] ?? OTHER);
  }
  video.srcObject = stream;
  return stream;
}

export const turnOff = (stream) => stream?.getTracks().forEach((track) => track.stop());

// Return the present frame as JPEG, its longer side at most `longest` pixels.
export function grab(video, quality, longest = Infinity) {
  const { videoWidth, videoHeight } = video;
  const scale = Math.min(1, longest / Math.max(videoWidth, videoHeight));
  const canvas = Object.assign(document.createElement("canvas"), {
    width: Math.round(videoWidth * scale), height: Math.round(videoHeight * scale),
  });
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", quality));
}
