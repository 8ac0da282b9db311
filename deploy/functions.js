// The functions on AWS: serverless.yml asks here. What is wrong with a setting, checks.js says.
//
// IMAGE_URI names an image that is in ECR already. Otherwise `sls deploy` builds the Dockerfile and pushes it; `sls
// package`, which has to work without Docker or an AWS account, gets one of no repository, to read the template.
const NOWHERE = `000000000000.dkr.ecr.eu-central-1.amazonaws.com/face-recognition@sha256:${"0".repeat(64)}`;

module.exports = async ({ resolveVariable }) => {
  const param = (name) => resolveVariable(`param:${name}`);
  const uri = process.env.IMAGE_URI || (process.argv.includes("package") ? NOWHERE : "");
  const image = uri ? { uri } : { name: "service" };
  const concurrency = async (name) => Number(await param(name)) || undefined;
  const classify = {
    image,
    reservedConcurrency: await concurrency("reserved"),
    provisionedConcurrency: await concurrency("warm"),
    ...(await resolveVariable(`self:custom.routes.${await param("front")}-${await param("keys")}, null`)),
  };
  if ((await param("bulk")) !== "on") return { classify };
  const photos = { bucket: process.env.PHOTOS_BUCKET || "", event: "s3:ObjectCreated:*", rules: [{ prefix: "photos/" }] };
  const bulk = {
    image: { ...image, command: ["handler.on_upload"] },
    timeout: 120, // seconds: a photo of 50 megapixels with a crowd on it takes some, and S3 may be slow
    events: [{ s3: { ...photos, existing: true } }],
  };
  return { classify, bulk };
};
