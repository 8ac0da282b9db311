/** The service's codes as sentences for the user. */

// Failures for which the page knows better than the service how the user can go on.
export const FAILURES = {
  management_off:
    "Changes are switched off, because the service has no administrator’s key. Set ADMIN_KEY where the service runs, then enter the same key here.",
  read_only:
    "People cannot be added or changed, because the service has no place to keep them: set GALLERY_URI to a folder or an S3 address where it runs.",
};

const REASONS = {
  small: "the face is small",
  blurred: "the face is blurred",
  dark: "the face is too dark",
  bright: "the face is too bright",
  tilted: "the head is tilted",
  turned: "the head is turned away",
  cut: "the photo cuts the face off",
};

const SKIPPED = {
  no_face: "no face was found",
  several_faces: "it has several faces of similar size; crop it to one person",
  unreadable: "the file cannot be read as a photo",
  too_small: "the face is too small",
  duplicate: "this photo is stored already",
};

const list = new Intl.ListFormat("en");
const area = ({ box }) => box.width * box.height;

/** @param {string} reason of a skipped photo */
export const skippedText = (reason) => `Not used: ${SKIPPED[reason] ?? reason}.`;

/**
 * @param {object[]} faces of a photo as /detect returns them, largest first
 * @returns {{text: string, severity: "success" | "warning"}} how suitable the photo is for adding a person
 */
export function qualityText(faces) {
  if (!faces.length) return { text: "No face was found. It will not be used.", severity: "warning" };
  const { good, reasons } = faces[0].quality;
  const problems = reasons.map((reason) => REASONS[reason] ?? reason);
  // As in service/enrolment.py.
  if (faces.length > 1 && area(faces[0]) < 2 * area(faces[1])) problems.push(SKIPPED.several_faces);
  if (good && !problems.length) return { text: "Good photo", severity: "success" };
  return { text: `Not ideal: ${list.format(problems)}.`, severity: "warning" };
}
