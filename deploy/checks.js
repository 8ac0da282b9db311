// A plugin of Serverless: what is wrong with the settings is said in a sentence, before anything is created. It also sets
// what CloudFormation cannot: the throttling of a stage that belongs to a deployment.
const { execFileSync } = require("child_process");
const fs = require("fs");
const { APIGatewayClient, UpdateStageCommand } = require("@aws-sdk/client-api-gateway");
const { CloudFormationClient, DescribeStackResourceCommand } = require("@aws-sdk/client-cloudformation");
const { S3Client, GetObjectCommand, HeadBucketCommand } = require("@aws-sdk/client-s3");
const { STSClient, GetCallerIdentityCommand } = require("@aws-sdk/client-sts");
const { address, inS3, split, folder } = require("./model");

const LONGEST_STAGE = 23; // characters, for the role's name has 64 at most
const SWITCH = ["off", "on"];
const CHOICES = { where: ["aws", "local"], front: ["rest", "http", "url"], keys: SWITCH, bulk: SWITCH, metrics: SWITCH };
const NUMBERS = { memory: 512, reserved: 1, warm: 1, rate: 1, burst: 1, quota: 1, slow: 1, logs: 1 }; // at least
const OPTIONAL = ["reserved", "warm", "bucket", "alarms"];

class Wrong extends Error {}
const demand = (condition, sentence) => {
  if (!condition) throw new Wrong(sentence);
};

function checkParameters(given, settings) {
  const known = Object.keys(settings.defaults);
  for (const name of Object.keys(given))
    demand(known.includes(name), `There is no parameter ${name}. There are ${known.join(", ")}.`);
  const value = { ...settings.defaults, ...settings.ofStage, ...given };
  const set = (name) => !(OPTIONAL.includes(name) && value[name] === "");
  for (const [name, allowed] of Object.entries(CHOICES))
    demand(allowed.includes(value[name]), `--param ${name}=${value[name]}: it is one of ${allowed.join(", ")}.`);
  for (const [name, least] of Object.entries(NUMBERS).filter(([name]) => set(name)))
    demand(
      /^[0-9]+$/.test(value[name]) && value[name] >= least,
      `--param ${name}=${value[name]}: it is a whole number, at least ${least}.`,
    );
  if (value.keys === "on")
    demand(value.front === "rest", "Only a REST API has keys: without front=rest, set API_KEY instead of --param keys=on.");
  if (set("reserved") && set("warm"))
    demand(+value.warm <= +value.reserved, "--param warm: more runtimes than --param reserved leaves cannot be kept ready.");
  if (set("bucket"))
    demand(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(value.bucket), `${value.bucket} cannot be the name of a bucket.`);
  if (set("alarms")) demand(/^\S+@\S+$/.test(value.alarms), `--param alarms=${value.alarms} is not a mail address.`);
  if (value.bulk === "on")
    demand(process.env.PHOTOS_BUCKET, "--param bulk=on needs PHOTOS_BUCKET, the bucket in which photos are dropped.");
  return value;
}

function checkModelHere(uri) {
  if (inS3(uri)) return;
  const path = folder(uri);
  demand(
    /^(models|model\/bundled|runs\/[^/]+\/model)$/.test(path),
    `MODEL_URI=${uri} cannot be baked into the image: that is models, runs/NAME/model or a model in S3.`,
  );
  demand(fs.existsSync(`${path}/latest.json`), `There is no model in ${path}: latest.json is missing.`);
}

function checkDocker() {
  if (process.env.IMAGE_URI) return;
  try {
    execFileSync("docker", ["info"], { stdio: "ignore", timeout: 30000 });
  } catch {
    throw new Wrong("The image needs Docker, and none is running. Start it, or name an image in ECR with IMAGE_URI.");
  }
}

class Account {
  constructor(provider) {
    this.provider = provider;
  }

  async send(Client, command, options = {}) {
    return new Client({ ...(await this.provider.getAwsSdkV3Config()), ...options }).send(command);
  }

  async checkCredentials() {
    try {
      await this.send(STSClient, new GetCallerIdentityCommand({}));
    } catch {
      const how = "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`";
      throw new Wrong(`AWS does not know who you are. ${how}, then try again.`);
    }
  }

  /** @returns HTTP status: 200 ours, 404 there is none, else somebody else's */
  async bucket(name) {
    try {
      await this.send(S3Client, new HeadBucketCommand({ Bucket: name }), { followRegionRedirects: true });
      return 200;
    } catch (error) {
      return error.$metadata?.httpStatusCode;
    }
  }

  async inStack(logicalId) {
    const StackName = this.provider.naming.getStackName();
    const command = new DescribeStackResourceCommand({ StackName, LogicalResourceId: logicalId });
    try {
      return (await this.send(CloudFormationClient, command)).StackResourceDetail.PhysicalResourceId;
    } catch {
      return null;
    }
  }

  /** Whether it has to be made. */
  async checkNewBucket(name) {
    const status = await this.bucket(name);
    if (status === 404) return true;
    demand(status === 200, `A bucket named ${name} belongs to somebody else: choose another name for --param bucket.`);
    const kept = `The bucket ${name} is there already, and not part of this stack`;
    demand(
      (await this.inStack("Models")) === name,
      `${kept}: use it with MODEL_URI=s3://${name}/faces instead of --param bucket.`,
    );
    return false;
  }

  async checkModel(uri) {
    const { bucket, prefix } = split(uri);
    const command = new GetObjectCommand({ Bucket: bucket, Key: `${prefix}latest.json` });
    try {
      await this.send(S3Client, command, { followRegionRedirects: true });
    } catch (error) {
      const how = `publish one: .venv/bin/python -m training publish --model model/bundled --to ${uri}`;
      throw new Wrong(`There is no model at ${uri} (${error.name}): ${how}`);
    }
  }

  async throttle(rate, burst) {
    const restApiId = await this.inStack("ApiGatewayRestApi");
    const replace = (path, value) => ({ op: "replace", path: `/*/*/throttling/${path}`, value: String(value) });
    const patchOperations = [replace("rateLimit", rate), replace("burstLimit", burst)];
    const stageName = this.provider.getStage();
    await this.send(APIGatewayClient, new UpdateStageCommand({ restApiId, stageName, patchOperations }));
  }
}

module.exports = class Checks {
  constructor(serverless, options, { log }) {
    this.serverless = serverless;
    this.log = log;
    this.hooks = {
      initialize: () => this.asSentence(() => this.before(serverless.processedInput.commands.join(" "))),
      "after:deploy:deploy": () => this.after(),
    };
    this.asSentence(() => this.checkHere(options));
  }

  /** What is Wrong is shown without a stack trace. */
  asSentence(work) {
    const shown = (error) => {
      throw error instanceof Wrong ? new this.serverless.classes.Error(error.message, "SETTINGS") : error;
    };
    try {
      return Promise.resolve(work()).catch(shown);
    } catch (error) {
      return shown(error);
    }
  }

  checkHere(options) {
    const { params } = this.serverless.configurationInput;
    const stage = options.stage || this.serverless.configurationInput.provider.stage;
    const given = Object.fromEntries((options.param || []).map((text) => text.split(/=(.*)/s, 2)));
    demand(stage.length <= LONGEST_STAGE, `The stage ${stage} has a longer name than ${LONGEST_STAGE} characters.`);
    this.value = checkParameters(given, { defaults: params.default, ofStage: params[stage] });
    this.uri = address(this.value.bucket);
  }

  async before(command) {
    if (!["deploy", "package"].includes(command)) return;
    demand(this.value.where === "aws", "--param where=local is for `make run`, and cannot be deployed.");
    checkModelHere(this.uri);
    if (command === "package") return;
    checkDocker();
    this.account = new Account(this.serverless.getProvider("aws"));
    await this.account.checkCredentials();
    this.newBucket = this.value.bucket && (await this.account.checkNewBucket(this.value.bucket));
    if (inS3(this.uri) && !this.newBucket) await this.account.checkModel(this.uri);
    if (this.value.bulk === "on") {
      const photos = process.env.PHOTOS_BUCKET;
      demand((await this.account.bucket(photos)) === 200, `PHOTOS_BUCKET=${photos} is not a bucket of yours: make it first.`);
    }
  }

  async after() {
    const { front, rate, burst } = this.value;
    if (front === "rest") await this.account.throttle(rate, burst);
    if (this.newBucket) this.log.notice(`The bucket is empty, so publish a model: make publish MODEL_URI=${this.uri}`);
  }
};
