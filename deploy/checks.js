// Serverless plugin that checks the settings before anything is created and reports errors as sentences. After a deploy
// it sets the throttling of the stage, which CloudFormation cannot set on a stage that belongs to a deployment.
const { execFileSync } = require("child_process");
const fs = require("fs");
const { checkAdminKey, checkComprefaceKeys } = require("./access");
const Account = require("./account");
const { checkRekognitionBuckets, rekognitionBuckets } = require("./buckets");
const { checkDatabaseUri, isDatabase, parseDatabaseUri } = require("./database");
const { SettingsError, requireThat } = require("./errors");
const { galleryUri, overlap } = require("./galleries");
const { isS3, modelFolder, modelUri, parseS3Uri } = require("./model");
const { checkParameters, parseParameters } = require("./parameters");

const MAX_STAGE_LENGTH = 23; // characters, because the name of the role may have 64
const S3_URI = /^s3:\/\/[^/*?$]+(\/[^*?$]*)?$/;

// Addresses that are neither a folder nor s3:// or postgresql://, and misspelt ones.
const OTHER_ADDRESS = /^(s3|arn|[a-z][a-z0-9+.-]+(?=:\/)):/i;

/** Checks the form of an address. The error does not quote it, because it may hold a password. */
function checkAddress(name, isOfPlace) {
  const uri = process.env[name] || "";
  const found = OTHER_ADDRESS.exec(uri);
  const forms = "the path of a folder, or s3://bucket/prefix, or, for collections, postgresql://user@host:5432/database";
  requireThat(!found || isOfPlace(uri), `${name} begins with ${found?.[1]}:, which is not a place for files: give ${forms}.`);
}

/** Checks a model that is copied into the image. */
function checkModelFolder(uri) {
  const folder = modelFolder(uri);
  requireThat(
    /^(models|model\/bundled|runs\/[^/]+\/model)$/.test(folder),
    `MODEL_URI=${uri} cannot be baked into the image: use models, runs/NAME/model or a model in S3.`,
  );
  requireThat(fs.existsSync(`${folder}/latest.json`), `There is no model in ${folder}: latest.json is missing.`);
}

/** Checks that the function, which may write its collections, cannot write its model. */
function checkLocations(galleries, model) {
  if (!galleries) return;
  const form = "must have the form s3://bucket/prefix, without the characters *, ? and $";
  requireThat(S3_URI.test(galleries), `GALLERY_URI=${galleries}: ${form}, which have a meaning in IAM policies.`);
  const why = "the function may write collections, but never a model";
  requireThat(
    !(isS3(model) && overlap(galleries, model)),
    `GALLERY_URI=${galleries} and MODEL_URI=${model} overlap: choose separate prefixes, because ${why}.`,
  );
}

function checkDocker() {
  if (process.env.IMAGE_URI) return;
  try {
    execFileSync("docker", ["info"], { stdio: "ignore", timeout: 30000 });
  } catch {
    const how = "Start Docker, or set IMAGE_URI to an image in ECR.";
    throw new SettingsError(`Building the image needs Docker, but Docker is not running. ${how}`);
  }
}

module.exports = class Checks {
  constructor(serverless, options, { log }) {
    this.serverless = serverless;
    this.log = log;
    this.hooks = {
      initialize: () => this.checkCommand().catch((error) => this.rethrow(error)),
      "after:deploy:deploy": () => this.afterDeploy(),
    };
    // Serverless does not resolve params for a help text.
    if (serverless.processedInput.isHelpRequest) return;
    try {
      this.checkSettings(options);
    } catch (error) {
      this.rethrow(error);
    }
  }

  /** Converts a SettingsError to the class that Serverless shows without a stack trace. */
  rethrow(error) {
    throw error instanceof SettingsError ? new this.serverless.classes.Error(error.message, "SETTINGS") : error;
  }

  /** Runs before variables with parameters are resolved, because wrong values would make that fail. */
  checkSettings(options) {
    const { params = {}, provider } = this.serverless.configurationInput;
    const stage = options.stage || provider.stage;
    const limit = `${MAX_STAGE_LENGTH} characters`;
    requireThat(stage.length <= MAX_STAGE_LENGTH, `The stage name ${stage} is longer than ${limit}.`);
    const environment = { collection: process.env.COLLECTION || null };
    const given = parseParameters(options.param || []);
    this.values = checkParameters(params.default, environment, params[stage], given);
    this.modelUri = modelUri(this.values.bucket);
    this.galleryUri = galleryUri(this.values.bucket);
  }

  /** Checks a command that needs more than valid parameters: `deploy` and `package`. */
  async checkCommand() {
    const command = this.serverless.processedInput.commands.join(" ");
    if (!["deploy", "package"].includes(command)) return;
    requireThat(this.values.where === "aws", "--param where=local is for `npx sls offline` and cannot be deployed.");
    checkAddress("MODEL_URI", isS3);
    checkAddress("GALLERY_URI", (uri) => isS3(uri) || isDatabase(uri));
    if (!isS3(this.modelUri)) checkModelFolder(this.modelUri);
    if (isDatabase(this.galleryUri)) checkDatabaseUri(this.galleryUri);
    else checkLocations(this.galleryUri, this.modelUri);
    checkAdminKey(this.values.keys);
    checkComprefaceKeys(this.values.keys);
    checkRekognitionBuckets(this.values.keys, this.galleryUri);
    this.warn();
    if (command === "deploy") await this.checkAccount();
  }

  /** Logs settings that are allowed, but may not be intended. */
  warn() {
    const { ADMIN_KEY, API_KEY, COMPREFACE_KEYS } = process.env;
    if ((ADMIN_KEY || COMPREFACE_KEYS) && !this.galleryUri) {
      const keys = ADMIN_KEY ? "ADMIN_KEY is" : "COMPREFACE_KEYS are";
      const how = "set GALLERY_URI=s3://bucket/prefix, or use --param bucket";
      this.log.warning(`${keys} set, but changes have no place to be stored and get read_only: ${how}.`);
    }
    if (rekognitionBuckets().length && !API_KEY)
      this.log.warning("Without API_KEY, anyone can use the service on the photos in REKOGNITION_BUCKETS.");
    if (API_KEY && this.values.keys === "on")
      this.log.warning("With keys=on, readers need a key of API Gateway, and API_KEY is not used.");
    if (isDatabase(this.galleryUri)) this.warnAboutDatabase();
  }

  warnAboutDatabase() {
    if (!this.values.subnets)
      this.log.warning("Without --param subnets, the function only reaches a database that is reachable from the internet.");
    if (!parseDatabaseUri(this.galleryUri).password) return;
    const who = "everyone who may read the function's configuration can see";
    const how = "without a password, the function logs in with IAM, which RDS and Aurora offer";
    this.log.warning(`GALLERY_URI contains a password, which ${who}: ${how}.`);
  }

  async checkAccount() {
    checkDocker();
    this.account = new Account(this.serverless.getProvider("aws"));
    await this.account.checkCredentials();
    const { bucket, bulk } = this.values;
    this.isNewBucket = bucket !== undefined && (await this.account.isNewBucket(bucket));
    if (isS3(this.modelUri) && !this.isNewBucket) await this.account.checkModel(this.modelUri);
    await this.checkGalleryBucket();
    // A status of 403 may mean that only the function may read the bucket, which can belong to another account.
    for (const name of rekognitionBuckets())
      requireThat((await this.account.bucketStatus(name)) !== 404, `REKOGNITION_BUCKETS: there is no bucket ${name}.`);
    if (bulk === "on") {
      const photos = process.env.PHOTOS_BUCKET;
      const status = await this.account.bucketStatus(photos);
      requireThat(status === 200, `PHOTOS_BUCKET=${photos} is not a bucket of yours: create it first.`);
    }
  }

  async checkGalleryBucket() {
    if (!isS3(this.galleryUri)) return;
    const { bucket } = parseS3Uri(this.galleryUri);
    if (this.isNewBucket && bucket === this.values.bucket) return;
    const status = await this.account.bucketStatus(bucket);
    requireThat(status === 200, `GALLERY_URI=${this.galleryUri}: ${bucket} is not a bucket of yours: create it first.`);
  }

  async afterDeploy() {
    const { front, rate, burst } = this.values;
    if (front === "rest") await this.account.setThrottling(rate, burst);
    const how = `make publish MODEL_URI=${this.modelUri}`;
    if (this.isNewBucket) this.log.notice(`The bucket is empty, so publish a model: ${how}`);
  }
};
