// Where the function finds its model, and what goes into its image: serverless.yml asks here.
//
// MODEL_URI: in S3, or a folder here, which is baked into the image. With `--param bucket=NAME` it is in S3: below faces/
// there, unless said otherwise.
const inS3 = (uri) => uri.startsWith("s3://");

const address = (bucket) => {
  const uri = process.env.MODEL_URI || "";
  return bucket && !inS3(uri) ? `s3://${bucket}/faces` : uri;
};

const found = async (resolveVariable) => address(await resolveVariable("param:bucket"));

// The whole path of a folder below this one, as Docker wants it.
const folder = (uri) => require("path").relative(".", uri || "model/bundled");

// Without CUDA the image is a gigabyte smaller, but that wheel lies on a page of PyTorch's own.
const WITHOUT_CUDA = { TORCH: "1.5.0+cpu", WHEELS: "https://download.pytorch.org/whl/torch_stable.html" };

module.exports = {
  address,
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
