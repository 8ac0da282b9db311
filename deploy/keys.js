// Keys of API Gateway's usage plan, for serverless.yml.
//
// With `--param keys=on` API Gateway checks X-Api-Key before the service does, so it has to know ADMIN_KEY, too.
module.exports = async ({ resolveVariable }) => {
  const readers = `${await resolveVariable("self:service")}-${await resolveVariable("sls:stage")}`;
  // No name: CloudFormation cannot replace a resource with a name, and another ADMIN_KEY needs another resource.
  const admin = { description: "ADMIN_KEY", value: process.env.ADMIN_KEY };
  return admin.value ? [readers, admin] : [readers];
};
