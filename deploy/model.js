// Where the function finds its model, and what goes into its image: serverless.yml asks here.
//
// MODEL_URI: in S3, or a folder here, which is baked into the image; `--param bucket=NAME` alone: below faces/ in it.
const found = async (resolveVariable) => {
  const bucket = await resolveVariable("param:bucket");
  return process.env.MODEL_URI || (bucket && `s3://${bucket}/faces`) || "";
};

const inS3 = (uri) => uri.startsWith("s3://");

// The whole path of a folder below this one, as Docker wants it.
const folder = (uri) => require("path").relative(".", uri || "model/bundled");

// Without CUDA the image is a gigabyte smaller, but that wheel lies on a page of PyTorch's own.
const WITHOUT_CUDA = { TORCH: "1.5.0+cpu", WHEELS: "https://download.pytorch.org/whl/torch_stable.html" };

module.exports = {
  found,
  inS3,
  folder,

  // The baked model needs no address.
  uri: async ({ resolveVariable }) => {
    const uri = await found(resolveVariable);
    return inS3(uri) ? uri : "";
  },

  buildArguments: async ({ resolveVariable }) => {
    const uri = await found(resolveVariable);
    const torch = process.env.TORCH ? { TORCH: process.env.TORCH, WHEELS: process.env.WHEELS || "" } : WITHOUT_CUDA;
    return { ...torch, ...(inS3(uri) ? { WEIGHTS: "none" } : { WEIGHTS: "baked", MODEL: folder(uri) }) };
  },
};
