"use strict";

const file = document.querySelector("[type=file]");
const endpoint = document.querySelector("#endpoint");
const status = document.querySelector("[role=status]");
const canvas = document.querySelector("canvas");
const list = document.querySelector("ol");

endpoint.value = new URLSearchParams(location.search).get("endpoint") || window.ENDPOINT;

document.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  status.textContent = "Looking … the first photo wakes the service and takes a few seconds.";
  list.replaceChildren();
  canvas.hidden = true;
  try {
    const body = new FormData();
    body.append("file", file.files[0]);
    const reply = await fetch(`${endpoint.value.replace(/\/+$/, "")}/classify?faces=all`, { method: "POST", body });
    const answer = await reply.json();
    if (answer.error) {
      status.textContent = answer.error.message;
    } else {
      await show(answer);
    }
  } catch (error) {
    status.textContent = "The service cannot be reached at this endpoint.";
  }
});

/** Draw the photo with a numbered box for each face, and list who they are. */
async function show(answer) {
  const photo = await createImageBitmap(file.files[0], { imageOrientation: "from-image" });
  canvas.width = photo.width;
  canvas.height = photo.height;
  canvas.hidden = false;
  const pen = canvas.getContext("2d");
  pen.drawImage(photo, 0, 0);
  pen.lineWidth = Math.max(2, photo.width / 200);
  pen.strokeStyle = pen.fillStyle = "#0a84ff";
  pen.font = `${Math.max(14, photo.width / 25)}px system-ui`;
  answer.faces.forEach(({ face, known, predicted_id: id, predicted_name: name, confidence }, index) => {
    pen.strokeRect(face.box.left, face.box.top, face.box.width, face.box.height);
    pen.fillText(String(index + 1), face.box.left, face.box.top - pen.lineWidth);
    const item = document.createElement("li");
    item.textContent = known ? `${name} (ID ${id}), ${(confidence * 100).toFixed(1)} %` : "Unknown person";
    list.append(item);
  });
  status.textContent = `${answer.faces_detected} face${answer.faces_detected === 1 ? "" : "s"} found.`;
}
