// @exadel/compreface-js-sdk: all of its methods but those for browsers. Writes the results as JSON on the last line.
//
// An object with the methods of faces or subjects serves one request only, because it appends to its URL. Paths of
// photos begin with a dot; others would be taken for content.

import { readFileSync } from "node:fs";
import { CompreFace } from "@exadel/compreface-js-sdk";

const KEY = "compreface-key-of-js-sdk";
const [, domain, port] = /^(.*):(\d+.*?)\/$/.exec(process.env.ENDPOINT);
process.chdir(process.env.PHOTOS);

const server = new CompreFace(domain, port);
const recognition = server.initFaceRecognitionService(KEY);
const detection = server.initFaceDetectionService(KEY);
const verification = server.initFaceVerificationService(KEY);
const faces = () => recognition.getFaceCollection();
const subjects = () => recognition.getSubjects();
const path = (name) => `./${name}.jpg`;
const base64 = (name) => readFileSync(path(name)).toString("base64");

async function errorOf(promise) {
  try {
    return { value: await promise };
  } catch (error) {
    return { status: error.response?.status, ...error.response?.data };
  }
}

const results = {
  addedSubject: await subjects().add("Kofi"),
  renamed: await subjects().rename("Kofi", "Kofi Annan"),
  addedAgain: await errorOf(subjects().add("Kofi Annan")),
};
const first = await faces().add(path("kofi"), "Kofi Annan");
const second = await faces().add(base64("kofi-turned"), "Kofi Annan");
const third = await faces().add(path("serena"), "Serena Williams", {});
Object.assign(results, {
  first,
  subjects: await subjects().list(),
  listed: await faces().list(),
  recognized: await recognition.recognize(path("pair-turned"), {
    limit: 0,
    det_prob_threshold: 0.8,
    prediction_count: 1,
    face_plugins: "landmarks,calculator",
    status: "true",
  }),
  recognizedBase64: await recognition.recognize(base64("kofi-again"), { prediction_count: 2 }),
  noFace: await errorOf(recognition.recognize(path("wall"), {})),
  verifiedFace: await faces().verify(path("kofi-again"), first.image_id, { limit: 1 }),
  detected: await detection.detect(path("pair"), { limit: 1, face_plugins: "landmarks" }),
  verified: await verification.verify(path("kofi"), path("pair-turned"), { limit: 0 }),
  verifiedBase64: await verification.verify(base64("kofi"), base64("serena"), {}),
  deletedSeveral: await faces().delete_multiple_images([first.image_id]),
  deletedFace: await faces().delete(second.image_id),
  deletedOfSubject: await faces().delete_all_subject("Serena Williams"),
  left: await faces().list(),
  deletedSubject: await subjects().delete("Kofi Annan"),
  deletedSubjectAgain: await errorOf(subjects().delete("Kofi Annan")),
  deletedAllFaces: await faces().delete_all(),
  deletedAll: await subjects().deleteAll(),
  thirdSubject: third.subject,
});
console.log(JSON.stringify(results));
