// S3 permissions of the functions' role, for serverless.yml.
//
// Model in S3: read objects under its prefix. `--param bulk=on`: read photos and write results in PHOTOS_BUCKET.
const { isS3, parseS3Uri, resolveModelUri } = require("./model");

const arn = (path) => ({ "Fn::Sub": `arn:\${AWS::Partition}:s3:::${path}` });

function modelStatements(uri) {
  if (!isS3(uri)) return [];
  const { bucket, prefix } = parseS3Uri(uri);
  const keys = `${prefix}*`;
  return [
    { Effect: "Allow", Action: "s3:GetObject", Resource: arn(`${bucket}/${keys}`) },
    // Without ListBucket, S3 answers 403 instead of 404 for a missing object, and the log would name the wrong cause.
    { Effect: "Allow", Action: "s3:ListBucket", Resource: arn(bucket), Condition: { StringLike: { "s3:prefix": keys } } },
  ];
}

const bulkStatements = (bucket) => [
  { Effect: "Allow", Action: "s3:GetObject", Resource: [arn(`${bucket}/photos/*`), arn(`${bucket}/results/*`)] },
  {
    Effect: "Allow",
    Action: ["s3:PutObject", "s3:DeleteObject"],
    Resource: [arn(`${bucket}/results/*`), arn(`${bucket}/failures/*`)],
  },
  { Effect: "Allow", Action: "s3:ListBucket", Resource: arn(bucket) },
];

module.exports = async ({ resolveVariable }) => {
  const bulk = (await resolveVariable("param:bulk")) === "on" ? bulkStatements(process.env.PHOTOS_BUCKET) : [];
  return [...modelStatements(await resolveModelUri(resolveVariable)), ...bulk];
};
