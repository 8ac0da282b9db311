// Location of the collections that change at runtime, for serverless.yml.
//
// GALLERY_URI is an S3 URI or that of a database. With `--param bucket=NAME` and neither of them, the collections are at
// s3://NAME/galleries. Without all of these, the function serves only the collection that was published with the model.
const { isDatabase } = require("./database");
const { isS3, parseS3Uri } = require("./model");

/** @returns {string} where the collections are kept in a bucket that the stack creates */
const defaultUri = (bucket) => `s3://${bucket}/galleries`;

/** @param {?string} bucket value of the parameter */
const galleryUri = (bucket) => {
  const uri = process.env.GALLERY_URI || "";
  if (isS3(uri) || isDatabase(uri)) return uri;
  return bucket ? defaultUri(bucket) : "";
};

const resolveGalleryUri = async (resolveVariable) => galleryUri(await resolveVariable("param:bucket"));

/** @returns {boolean} true if some object belongs to both S3 URIs */
const overlap = (...uris) => {
  const [one, other] = uris.map(parseS3Uri);
  return one.bucket === other.bucket && (one.prefix.startsWith(other.prefix) || other.prefix.startsWith(one.prefix));
};

module.exports = {
  defaultUri,
  galleryUri,
  overlap,
  resolveGalleryUri,

  // `sls offline` also serves a folder.
  uri: async ({ resolveVariable }) =>
    (await resolveVariable("param:where")) === "local"
      ? process.env.GALLERY_URI || ""
      : resolveGalleryUri(resolveVariable),

  // For the lifecycle of the bucket that the stack creates.
  prefix: async ({ resolveVariable }) => {
    const name = await resolveVariable("param:bucket");
    const uri = galleryUri(name);
    const { bucket, prefix } = parseS3Uri(isS3(uri) ? uri : defaultUri(name));
    return bucket === name ? prefix : parseS3Uri(defaultUri(name)).prefix;
  },

  collection: async ({ resolveVariable }) =>
    (await resolveVariable("param:collection")) || process.env.COLLECTION || "",
};
