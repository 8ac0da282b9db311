// Which container image a function runs, and what in it: serverless.yml asks here.
//
// IMAGE_URI names one that is in ECR already. Otherwise `sls deploy` builds the Dockerfile and pushes it; `sls package`,
// which has to work without Docker or an AWS account, gets an image of no repository, good for reading the template only.
const NOWHERE = `000000000000.dkr.ecr.eu-central-1.amazonaws.com/face-recognition@sha256:${"0".repeat(64)}`;

module.exports = () => {
  const uri = process.env.IMAGE_URI || (process.argv.includes("package") ? NOWHERE : "");
  const image = uri ? { uri } : { name: "service" };
  return { classify: image, bulk: { ...image, command: ["handler.on_upload"] } };
};
