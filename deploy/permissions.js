// Permissions of the functions' role, for serverless.yml.
//
// Model in S3: read objects under its prefix. Collections in S3: read, write and delete objects under theirs, which
// checks.js keeps apart from the model's. `--param bulk=on`: read PHOTOS_BUCKET, and write results and files of runs in it.
// Buckets in REKOGNITION_BUCKETS: read all objects, and their earlier versions, which clients may name. Collections in a
// database without a password: log in to any database of the account and region as this user, because a host does not tell
// which one it is.
const { rekognitionBuckets } = require("./buckets");
const { parseDatabaseUri } = require("./database");
const { resolveGalleryUri } = require("./galleries");
const { isS3, parseS3Uri, resolveModelUri } = require("./model");

const arn = (path) => ({ "Fn::Sub": `arn:\${AWS::Partition}:s3:::${path}` });

/** @param {string|string[]} objectActions allowed for objects under the prefix */
function prefixStatements(uri, objectActions) {
  if (!isS3(uri)) return [];
  const { bucket, prefix } = parseS3Uri(uri);
  const keys = `${prefix}*`;
  return [
    { Effect: "Allow", Action: objectActions, Resource: arn(`${bucket}/${keys}`) },
    // Without ListBucket, S3 answers 403 instead of 404 for a missing object, and the log would name the wrong cause.
    { Effect: "Allow", Action: "s3:ListBucket", Resource: arn(bucket), Condition: { StringLike: { "s3:prefix": keys } } },
  ];
}

const bulkStatements = (bucket) => [
  // All keys, because `make bulk` names any prefix.
  { Effect: "Allow", Action: "s3:GetObject", Resource: arn(`${bucket}/*`) },
  {
    Effect: "Allow",
    Action: ["s3:PutObject", "s3:DeleteObject"],
    Resource: ["results", "failures", "runs"].map((prefix) => arn(`${bucket}/${prefix}/*`)),
  },
  { Effect: "Allow", Action: "s3:ListBucket", Resource: arn(bucket) },
];

const photosStatements = (bucket) => [
  { Effect: "Allow", Action: ["s3:GetObject", "s3:GetObjectVersion"], Resource: arn(`${bucket}/*`) },
  // As above: a client should learn that the object is missing.
  { Effect: "Allow", Action: "s3:ListBucket", Resource: arn(bucket) },
];

function databaseStatements(uri) {
  const { user, password } = parseDatabaseUri(uri);
  if (!user || password) return [];
  const resource = `arn:\${AWS::Partition}:rds-db:\${AWS::Region}:\${AWS::AccountId}:dbuser:*/${user}`;
  return [{ Effect: "Allow", Action: "rds-db:connect", Resource: { "Fn::Sub": resource } }];
}

module.exports = async ({ resolveVariable }) => {
  const bulk = (await resolveVariable("param:bulk")) === "on" ? bulkStatements(process.env.PHOTOS_BUCKET) : [];
  const galleries = await resolveGalleryUri(resolveVariable);
  return [
    ...prefixStatements(await resolveModelUri(resolveVariable), "s3:GetObject"),
    ...prefixStatements(galleries, ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]),
    ...databaseStatements(galleries),
    ...bulk,
    ...rekognitionBuckets().flatMap(photosStatements),
  ];
};
