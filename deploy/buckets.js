// Buckets with photos that Rekognition's clients may name as Image.S3Object: REKOGNITION_BUCKETS, separated by commas.
const { requireThat } = require("./errors");
const { isS3, parseS3Uri } = require("./model");
const { properties } = require("./parameters");

const BUCKET = new RegExp(properties.bucket.pattern);

/** @returns {string[]} their names, unchecked */
function rekognitionBuckets() {
  const names = process.env.REKOGNITION_BUCKETS;
  return names ? names.split(",") : [];
}

/**
 * @param {string} keys value of the parameter
 * @param {string} galleries where the collections are kept, or empty
 */
function checkRekognitionBuckets(keys, galleries) {
  const names = rekognitionBuckets();
  if (!names.length) return;
  const why = "API Gateway refuses Rekognition's clients, which sign their requests instead of sending a key";
  requireThat(keys !== "on", `With keys=on, ${why}: use keys=off, and API_KEY, or leave REKOGNITION_BUCKETS out.`);
  for (const name of names)
    requireThat(BUCKET.test(name), `REKOGNITION_BUCKETS, "${name}": must be ${properties.bucket.allowed}.`);
  const isShared = isS3(galleries) && names.includes(parseS3Uri(galleries).bucket);
  const reason = "the function must not read earlier versions of collections, which contain deleted people";
  requireThat(!isShared, `REKOGNITION_BUCKETS has the bucket of ${galleries}: use another one for photos, because ${reason}.`);
}

module.exports = { checkRekognitionBuckets, rekognitionBuckets };
