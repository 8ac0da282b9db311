/** A photo from the camera. */

import { draw } from "./photo.js";

const WANTED = { facingMode: "user", width: { ideal: 1280 } };
const REASONS = {
  NotAllowedError: "The browser has been told not to let this page use the camera. Allow it in the address bar, then try again.",
  NotFoundError: "There is no camera here.",
  NotReadableError: "Another program is using the camera.",
};

/** @returns {boolean} browsers give a camera only to pages that came over https or from this computer */
export function hasCamera() {
  return Boolean(navigator.mediaDevices?.getUserMedia);
}

/**
 * @param {HTMLDialogElement} dialog
 * @param {(file: File) => void} taken
 */
export function cameraDialog(dialog, taken) {
  const video = dialog.querySelector("video");
  const take = dialog.querySelector(".take");
  const wrong = dialog.querySelector(".wrong");
  let stream = null;

  function stop() {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    video.srcObject = null;
    take.disabled = true;
  }

  dialog.addEventListener("close", stop);
  take.addEventListener("click", async () => {
    const blob = await draw(video, video.videoWidth, video.videoHeight);
    const time = new Date().toTimeString().slice(0, 8).replaceAll(":", "");
    dialog.close();
    taken(new File([blob], `camera-${time}.jpg`, { type: blob.type }));
  });

  return {
    async open() {
      wrong.textContent = "";
      video.hidden = take.hidden = false;
      dialog.showModal();
      try {
        const found = await navigator.mediaDevices.getUserMedia({ video: WANTED, audio: false });
        if (!dialog.open) {
          // Closed while the browser was still asking.
          found.getTracks().forEach((track) => track.stop());
          return;
        }
        stream = found;
        video.srcObject = stream;
        await video.play();
        take.disabled = false;
        take.focus();
      } catch (error) {
        wrong.textContent = REASONS[error.name] ?? `The camera cannot be used (${error.name}).`;
        video.hidden = take.hidden = true;
        stop();
      }
    },
  };
}
