// Where the function finds its model, and what goes into its image: serverless.yml asks here.
//
// MODEL_URI: in S3, or a folder here, which is baked into the image. With `--param bucket=NAME` it is in S3: below faces/
// there, unless said otherwise.
const path = require("path");

const inS3 = (uri) => uri.startsWith("s3://");

/** @returns bucket and prefix, the latter "" or with a slash at its end */
const split = (uri) => {
  const [, bucket, prefix] = /^s3:\/\/([^/]*)\/*(.*?)\/*$/.exec(uri);
  return { bucket, prefix: prefix && `${prefix}/` };
};

const address = (bucket) => {
  const uri = process.env.MODEL_URI || "";
  return bucket && !inS3(uri) ? `s3://${bucket}/faces` : uri;
};

const found = async (resolveVariable) => address(await resolveVariable("param:bucket"));

// The whole path of a folder below this one, as Docker wants it.
const folder = (uri) => path.relative(".", uri || "model/bundled");

module.exports = {
  address,
  found,
  inS3,
  split,
  folder,

  // A baked model needs no address; one that `make run` serves from a folder does.
  uri: async ({ resolveVariable }) => {
    const uri = await found(resolveVariable);
    return inS3(uri) || (await resolveVariable("param:where")) === "local" ? uri : "";
  },

  // What is not said here, the Dockerfile says.
  buildArguments: async ({ resolveVariable }) => {
    const uri = await found(resolveVariable);
    const { TORCH, WHEELS = "" } = process.env;
    return { ...(TORCH && { TORCH, WHEELS }), ...(inS3(uri) ? { WEIGHTS: "none" } : { MODEL: folder(uri) }) };
  },
};
