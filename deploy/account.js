// The AWS account: checks before a deploy, and the throttling of the stage after it.
const { APIGatewayClient, UpdateStageCommand } = require("@aws-sdk/client-api-gateway");
const { CloudFormationClient, DescribeStackResourceCommand } = require("@aws-sdk/client-cloudformation");
const { S3Client, GetObjectCommand, HeadBucketCommand } = require("@aws-sdk/client-s3");
const { STSClient, GetCallerIdentityCommand } = require("@aws-sdk/client-sts");
const { SettingsError, requireThat } = require("./errors");
const { galleryUri } = require("./galleries");
const { isS3, modelUri, parseS3Uri } = require("./model");

module.exports = class Account {
  constructor(provider) {
    this.provider = provider;
  }

  async send(Client, command, options = {}) {
    return new Client({ ...(await this.provider.getAwsSdkV3Config()), ...options }).send(command);
  }

  /** @throws {SettingsError} */
  async checkCredentials() {
    try {
      await this.send(STSClient, new GetCallerIdentityCommand({}));
    } catch {
      const how = "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`";
      throw new SettingsError(`AWS does not know who you are. ${how}, then try again.`);
    }
  }

  /** @returns {Promise<number>} HTTP status: 200 for our bucket, 404 if there is none, 403 for somebody else's */
  async bucketStatus(name) {
    try {
      await this.send(S3Client, new HeadBucketCommand({ Bucket: name }), { followRegionRedirects: true });
      return 200;
    } catch (error) {
      return error.$metadata?.httpStatusCode;
    }
  }

  /** @returns {Promise<?string>} physical ID of a resource in the stack, null without the resource or the stack */
  async physicalId(logicalId) {
    const StackName = this.provider.naming.getStackName();
    const command = new DescribeStackResourceCommand({ StackName, LogicalResourceId: logicalId });
    try {
      return (await this.send(CloudFormationClient, command)).StackResourceDetail.PhysicalResourceId;
    } catch {
      return null;
    }
  }

  /**
   * @returns {Promise<boolean>} true if the deploy has to create the bucket, false if the stack has it already
   * @throws {SettingsError} if the name is taken
   */
  async isNewBucket(name) {
    const status = await this.bucketStatus(name);
    if (status === 404) return true;
    const taken = `A bucket named ${name} belongs to somebody else`;
    requireThat(status === 200, `${taken}: choose another name for --param bucket.`);
    const exists = `The bucket ${name} exists already and is not part of this stack`;
    const galleries = galleryUri(name);
    // The URI of a database may contain a password, and does not change.
    const locations = [`MODEL_URI=${modelUri(name)}`, ...(isS3(galleries) ? [`GALLERY_URI=${galleries}`] : [])];
    const how = `use it with ${locations.join(" and ")} instead of --param bucket`;
    requireThat((await this.physicalId("Models")) === name, `${exists}: ${how}.`);
    return false;
  }

  /** @throws {SettingsError} */
  async checkModel(uri) {
    const { bucket, prefix } = parseS3Uri(uri);
    const command = new GetObjectCommand({ Bucket: bucket, Key: `${prefix}latest.json` });
    try {
      await this.send(S3Client, command, { followRegionRedirects: true });
    } catch (error) {
      const how = `publish one: .venv/bin/python -m training publish --model model/bundled --to ${uri}`;
      throw new SettingsError(`There is no model at ${uri} (${error.name}): ${how}`);
    }
  }

  /** Sets the throttling of the REST API's stage: requests per second, and at once. */
  async setThrottling(rate, burst) {
    const restApiId = await this.physicalId("ApiGatewayRestApi");
    const replace = (path, value) => ({ op: "replace", path: `/*/*/throttling/${path}`, value: String(value) });
    const patchOperations = [replace("rateLimit", rate), replace("burstLimit", burst)];
    const stageName = this.provider.getStage();
    await this.send(APIGatewayClient, new UpdateStageCommand({ restApiId, stageName, patchOperations }));
  }
};
