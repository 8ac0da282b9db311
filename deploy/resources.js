// What comes up beside the functions: a file for each, chosen by the parameters. serverless.yml asks here.
module.exports = async ({ resolveVariable }) => {
  const param = (name) => resolveVariable(`param:${name}`);
  const front = await param("front");
  // A function URL cannot throttle: `--param reserved=N` bounds it.
  const parts = front === "url" ? [] : [`front-${front}`];
  if (await param("bucket")) parts.push("bucket");
  if (await param("alarms")) parts.push("alarms");
  return Promise.all(parts.map((part) => resolveVariable(`file(deploy/${part}.yml), null`)));
};
