// Location of the model, for serverless.yml: in S3, or in a folder that is baked into the image.
//
// MODEL_URI is an S3 URI or a folder. With `--param bucket=NAME` and no S3 URI, the model is at s3://NAME/networks.
const path = require("path");

const isS3 = (uri) => uri.startsWith("s3://");

/** @returns {{bucket: string, prefix: string}} prefix: empty, or with a slash at the end */
const parseS3Uri = (uri) => {
  const [, bucket, prefix] = /^s3:\/\/([^/]*)\/*(.*?)\/*$/.exec(uri);
  return { bucket, prefix: prefix && `${prefix}/` };
};

/** @param {?string} bucket value of the parameter */
const modelUri = (bucket) => {
  const uri = process.env.MODEL_URI || "";
  return bucket && !isS3(uri) ? `s3://${bucket}/networks` : uri;
};

const resolveModelUri = async (resolveVariable) => modelUri(await resolveVariable("param:bucket"));

/** @returns {string} folder relative to the repository, as Docker needs it */
const modelFolder = (uri) => path.relative(".", uri || "model/bundled");

module.exports = {
  isS3,
  modelFolder,
  modelUri,
  parseS3Uri,
  resolveModelUri,

  // Empty for a model in the image. `sls offline` serves a folder, so it needs the path.
  uri: async ({ resolveVariable }) => {
    const uri = await resolveModelUri(resolveVariable);
    return isS3(uri) || (await resolveVariable("param:where")) === "local" ? uri : "";
  },

  // The Dockerfile has defaults for arguments that are missing here.
  buildArguments: async ({ resolveVariable }) => {
    const uri = await resolveModelUri(resolveVariable);
    const { TORCH, WHEELS = "" } = process.env;
    return { ...(TORCH && { TORCH, WHEELS }), ...(isS3(uri) ? { WEIGHTS: "none" } : { MODEL: modelFolder(uri) }) };
  },
};
