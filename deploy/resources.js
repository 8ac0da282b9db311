// CloudFormation resources besides the functions, for serverless.yml: the parameters select the files.
module.exports = async ({ resolveVariable }) => {
  const param = (name) => resolveVariable(`param:${name}`);
  const front = await param("front");
  // A function URL cannot throttle; `--param reserved=N` limits it.
  const parts = front === "url" ? [] : [`front-${front}`];
  if (await param("bucket")) parts.push("bucket");
  if (await param("alarms")) parts.push("alarms");
  if ((await param("bulk")) === "on") parts.push("bulk");
  return Promise.all(parts.map((part) => resolveVariable(`file(deploy/${part}.yml), null`)));
};
