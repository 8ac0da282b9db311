// Deploy parameters: defaults for serverless.yml and checks of values. parameters.json defines the parameters.
const Ajv = require("ajv");
const { SettingsError, requireThat } = require("./errors");
const { properties, ...schema } = require("./parameters.json");

const ajv = new Ajv({ allErrors: true });
ajv.addVocabulary(["allowed", "costs"]);
const validate = ajv.compile({ ...schema, properties });

/** Value of an optional parameter that is not set. It is not null because osls drops parameters that are null. */
const UNSET = "";
/** How the command line gives numbers, by type of the parameter. */
const FORMS = { integer: /^[0-9]+$/, number: /^[0-9]+(\.[0-9]+)?$/ };
const defaults = Object.fromEntries(
  Object.entries(properties).map(([name, property]) => [name, property.default ?? UNSET]),
);
// Otherwise serverless-offline would start without a route and without a word.
if (process.argv[2] === "offline") defaults.where = "local";

/** @returns {string} allowed values of a parameter in words, such as "a whole number, at least 1" */
function allowedValues({ enum: choices, minimum, maximum, allowed }) {
  if (choices) return `one of ${choices.join(", ")}`;
  if (allowed) return allowed;
  return `a whole number, at least ${minimum}${maximum === undefined ? "" : ` and at most ${maximum}`}`;
}

/**
 * @param {string[]} texts as given on the command line, NAME=VALUE
 * @returns {Object<string, string>} values by name
 * @throws {SettingsError} if a text has no name or no value
 */
function parseParameters(texts) {
  const pairs = texts.map((text) => {
    const [, name, value] = /^([^=]+)=(.+)$/s.exec(text ?? "") ?? [];
    requireThat(name, `--param ${text ?? ""}: write --param NAME=VALUE. To use the default, leave --param out.`);
    return [name, value];
  });
  return Object.fromEntries(pairs);
}

/** Merges sections as osls does: the last value that is not null wins. */
function merge(sections) {
  const entries = sections.flatMap((section) => Object.entries(section ?? {}));
  return Object.fromEntries(entries.filter(([, value]) => value !== null));
}

/** Omits unset parameters and converts numbers, because the command line gives strings. */
function normalize(values) {
  const convert = (name, value) => {
    const form = Object.hasOwn(properties, name) && FORMS[properties[name].type];
    return form && form.test(value) ? Number(value) : value;
  };
  return Object.fromEntries(
    Object.entries(values)
      .filter(([name, value]) => value !== UNSET || defaults[name] !== UNSET)
      .map(([name, value]) => [name, convert(name, value)]),
  );
}

/** @returns {string} one sentence about an error of ajv */
function describeError({ keyword, instancePath, params }, values) {
  if (keyword === "additionalProperties") {
    const names = Object.keys(properties).join(", ");
    return `There is no parameter ${params.additionalProperty}. The parameters are ${names}.`;
  }
  const name = instancePath.slice(1); // after the slash of the JSON pointer
  return `--param ${name}=${values[name]}: must be ${allowedValues(properties[name])}.`;
}

function checkCombinations({ front, keys, reserved, warm, bulk, subnets, securityGroups }) {
  if (keys === "on")
    requireThat(front === "rest", "Only a REST API has keys: use front=rest, or set API_KEY instead of keys=on.");
  if (reserved && warm)
    requireThat(warm <= reserved, `--param warm=${warm}: must not be more than --param reserved=${reserved}.`);
  if (bulk === "on")
    requireThat(process.env.PHOTOS_BUCKET, "--param bulk=on needs PHOTOS_BUCKET, the bucket with the photos.");
  const isWhole = !subnets === !securityGroups;
  requireThat(isWhole, "--param subnets and --param securityGroups belong together: set both or neither.");
}

/**
 * @param {...Object<string, *>} sections values by name, which override the defaults and those of earlier sections
 * @returns {Object<string, *>} values by name without unset parameters, integers as numbers
 * @throws {SettingsError} with a sentence for each wrong value, or about the first wrong combination of values
 */
function checkParameters(...sections) {
  const checked = normalize(merge([defaults, ...sections]));
  if (!validate(checked)) {
    const sentences = validate.errors.map((error) => describeError(error, checked));
    throw new SettingsError([...new Set(sentences)].join("\n"));
  }
  checkCombinations(checked);
  return checked;
}

module.exports = { allowedValues, checkParameters, defaults, parseParameters, properties };
