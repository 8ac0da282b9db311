// What the functions may do in S3, and nothing else there: serverless.yml asks here.
//
// The model: read below its prefix, if it is in S3. PHOTOS_BUCKET, with `--param bulk=on`: read photos, write answers.
const { found, inS3, split } = require("./model");

function model(uri) {
  if (!inS3(uri)) return [];
  const { bucket, prefix } = split(uri);
  const below = `${prefix}*`;
  return [
    { Effect: "Allow", Action: "s3:GetObject", Resource: arn(`${bucket}/${below}`) },
    // Without it S3 says 403 instead of 404 of what is not there, and the log would blame the wrong thing.
    { Effect: "Allow", Action: "s3:ListBucket", Resource: arn(bucket), Condition: { StringLike: { "s3:prefix": below } } },
  ];
}

const bulk = (bucket) => [
  { Effect: "Allow", Action: "s3:GetObject", Resource: [arn(`${bucket}/photos/*`), arn(`${bucket}/results/*`)] },
  {
    Effect: "Allow",
    Action: ["s3:PutObject", "s3:DeleteObject"],
    Resource: [arn(`${bucket}/results/*`), arn(`${bucket}/failures/*`)],
  },
  { Effect: "Allow", Action: "s3:ListBucket", Resource: arn(bucket) },
];

const arn = (path) => ({ "Fn::Sub": `arn:\${AWS::Partition}:s3:::${path}` });

module.exports = async ({ resolveVariable }) => {
  const photos = (await resolveVariable("param:bulk")) === "on" ? bulk(process.env.PHOTOS_BUCKET) : [];
  return [...model(await found(resolveVariable)), ...photos];
};
