// Writes the table of parameters in docs/deploy.md from parameters.json: `node deploy/table.js`. With --check it only
// compares, and exits with 1 if the table is out of date.
const fs = require("fs");
const path = require("path");
const { allowedValues, properties } = require("./parameters");

const DOCUMENT = path.join(__dirname, "../docs/deploy.md");
const TABLE = /(<!-- BEGIN parameters\b.*?-->\n).*?(<!-- END parameters -->)/s;

const code = (value) => `\`${value}\``;

function row([name, property]) {
  const value = property.default === undefined ? "none" : code(property.default);
  const allowed = property.enum ? property.enum.map(code).join(", ") : allowedValues(property);
  return `| ${[code(name), value, allowed, property.description, property.costs].join(" | ")} |`;
}

function main(options) {
  const text = fs.readFileSync(DOCUMENT, "utf8");
  if (!TABLE.test(text)) throw new Error("docs/deploy.md has no comments BEGIN parameters and END parameters");
  const head = "| parameter | default | allowed values | description | costs |\n|---|---|---|---|---|";
  const table = [head, ...Object.entries(properties).map(row)].join("\n");
  const updated = text.replace(TABLE, (_, begin, end) => `${begin}\n${table}\n\n${end}`);
  if (!options.includes("--check")) fs.writeFileSync(DOCUMENT, updated);
  else if (updated !== text) {
    console.error("docs/deploy.md does not match deploy/parameters.json: run `node deploy/table.js`");
    process.exitCode = 1;
  }
}

main(process.argv.slice(2));
