/** The dialog that takes a photo with the camera. */

import { toJpeg } from "./photo.js";

const CONSTRAINTS = { facingMode: "user", width: { ideal: 1280 } };
const ERRORS = {
  NotAllowedError: "The browser does not allow this page to use the camera. Allow it in the address bar, then try again.",
  NotFoundError: "No camera was found.",
  NotReadableError: "Another program is using the camera.",
};

/** @returns {boolean} false also for pages served over plain http from another computer: browsers give them no camera */
export function hasCamera() {
  return Boolean(navigator.mediaDevices?.getUserMedia);
}

/**
 * @param {HTMLDialogElement} dialog
 * @returns {(onPhoto: (file: File) => void) => Promise<void>} opens the dialog
 */
export function cameraDialog(dialog) {
  const video = dialog.querySelector("video");
  const take = dialog.querySelector(".take");
  const status = dialog.querySelector(".status");
  let stream = null;
  let onPhoto = () => {};

  function stop() {
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    video.srcObject = null;
    take.disabled = true;
  }

  dialog.addEventListener("close", stop);
  take.addEventListener("click", async () => {
    const blob = await toJpeg(video, video.videoWidth, video.videoHeight);
    const time = new Date().toTimeString().slice(0, 8).replaceAll(":", "");
    dialog.close();
    onPhoto(new File([blob], `camera-${time}.jpg`, { type: blob.type }));
  });

  return async function open(callback) {
    onPhoto = callback;
    status.textContent = "";
    video.hidden = take.hidden = false;
    dialog.showModal();
    try {
      const granted = await navigator.mediaDevices.getUserMedia({ video: CONSTRAINTS, audio: false });
      if (!dialog.open) {
        // The user closed the dialog while the browser was asking for permission.
        granted.getTracks().forEach((track) => track.stop());
        return;
      }
      stream = granted;
      video.srcObject = stream;
      await video.play();
      take.disabled = false;
      take.focus();
    } catch (error) {
      status.textContent = ERRORS[error.name] ?? `The camera cannot be used (${error.name}).`;
      video.hidden = take.hidden = true;
      stop();
    }
  };
}
