// Functions on AWS, for serverless.yml. checks.js reports wrong settings.
//
// IMAGE_URI is an image that is in ECR already. Without it, `sls deploy` builds the Dockerfile and pushes the image.
// `sls package` works without Docker and without an AWS account: it writes a placeholder to the template.
const PLACEHOLDER_IMAGE = `000000000000.dkr.ecr.eu-central-1.amazonaws.com/face-recognition@sha256:${"0".repeat(64)}`;

module.exports = async ({ resolveVariable }) => {
  const param = (name) => resolveVariable(`param:${name}`);
  const uri = process.env.IMAGE_URI || (process.argv.includes("package") ? PLACEHOLDER_IMAGE : "");
  const image = uri ? { uri } : { name: "service" };
  const concurrency = async (name) => Number(await param(name)) || undefined;
  const subnets = await param("subnets");
  const vpc = { subnetIds: subnets.split(","), securityGroupIds: (await param("securityGroups")).split(",") };
  // All of them load collections. With any `vpc`, even an empty one, osls gives the role permissions for a network.
  const shared = { ephemeralStorageSize: Number(await param("storage")), ...(subnets && { vpc }) };
  const classify = {
    image,
    ...shared,
    reservedConcurrency: await concurrency("reserved"),
    provisionedConcurrency: await concurrency("warm"),
    ...(await resolveVariable(`self:custom.routes.${await param("front")}-${await param("keys")}, null`)),
  };
  if ((await param("bulk")) !== "on") return { classify };
  const photos = { bucket: process.env.PHOTOS_BUCKET || "", event: "s3:ObjectCreated:*", rules: [{ prefix: "photos/" }] };
  const bulk = {
    image: { ...image, command: ["handler.on_upload"] },
    ...shared,
    timeout: 120, // seconds: a photo of 50 megapixels with many faces takes some, and S3 may be slow
    events: [{ s3: { ...photos, existing: true } }],
  };
  const batch = {
    image: { ...image, command: ["handler.on_batch"] },
    ...shared,
    timeout: 120, // seconds: 20 photos; the workflow that calls it has 300
  };
  return { classify, bulk, batch };
};
