// Keys in the environment that allow changes. The messages about them do not contain them.
//
// ADMIN_KEY allows changes of all collections. COMPREFACE_KEYS, as KEY=COLLECTION,KEY=COLLECTION, are keys for CompreFace's
// clients that allow reading and changing one collection each.
const { requireThat } = require("./errors");
const { properties } = require("./parameters");

const MIN_KEY_LENGTH = 16; // characters
const GATEWAY_KEY = /^.{20,128}$/; // as API Gateway requires it
const ENTRY = /^([!-<>-~]+)=([^=]*)$/; // the key: printable ASCII without spaces and equals signs
const COLLECTION = new RegExp(properties.collection.pattern);
const RANDOM = "use a random one, such as the output of `openssl rand -hex 32`";

/** @param {string} keys value of the parameter */
function checkAdminKey(keys) {
  const { ADMIN_KEY: key, API_KEY } = process.env;
  if (!key) return;
  requireThat(key.length >= MIN_KEY_LENGTH, `ADMIN_KEY is shorter than ${MIN_KEY_LENGTH} characters: ${RANDOM}.`);
  requireThat(key !== API_KEY, "ADMIN_KEY is the same as API_KEY, so every reader could make changes: choose another.");
  if (keys === "on")
    requireThat(GATEWAY_KEY.test(key), `With keys=on, ADMIN_KEY must have 20 to 128 characters: ${RANDOM}.`);
}

/** @returns {string} the key of an entry of COMPREFACE_KEYS */
function checkEntry(entry, index) {
  const where = `COMPREFACE_KEYS, entry ${index + 1}`;
  const [, key, collection] = ENTRY.exec(entry) ?? [];
  const form = "must have the form KEY=COLLECTION, with a comma between two entries and without spaces";
  requireThat(key, `${where}: ${form}.`);
  requireThat(key.length >= MIN_KEY_LENGTH, `${where}: the key is shorter than ${MIN_KEY_LENGTH} characters: ${RANDOM}.`);
  requireThat(COLLECTION.test(collection), `${where}: the collection must be ${properties.collection.allowed}.`);
  return key;
}

/** @param {string} keysOfGateway value of the parameter `keys` */
function checkComprefaceKeys(keysOfGateway) {
  const { ADMIN_KEY, API_KEY, COMPREFACE_KEYS } = process.env;
  if (!COMPREFACE_KEYS) return;
  const why = "API Gateway refuses every key that is not in its usage plan, such as those in COMPREFACE_KEYS";
  requireThat(keysOfGateway !== "on", `With keys=on, ${why}: use keys=off, and API_KEY for readers.`);
  const keys = COMPREFACE_KEYS.split(",").map(checkEntry);
  requireThat(new Set(keys).size === keys.length, "COMPREFACE_KEYS has the same key twice: use one for each collection.");
  const isTaken = keys.includes(API_KEY) || keys.includes(ADMIN_KEY);
  requireThat(!isTaken, "A key in COMPREFACE_KEYS is the same as API_KEY or ADMIN_KEY: choose another.");
}

module.exports = { checkAdminKey, checkComprefaceKeys };
