// A PostgreSQL database with the collections: GALLERY_URI=postgresql://user@host:5432/database.
//
// Without a password in the URI, the function logs in with IAM. The messages contain neither the URI nor a part of it.
const { requireThat } = require("./errors");

// As libpq reads it. The user becomes part of an IAM policy, in which other characters have a meaning, and Serverless
// replaces ${...} in all parts.
const URI = new RegExp(
  String.raw`^postgres(?:ql)?://(?<user>[\w.-]+)(?::(?<password>(?:[^\s@/%$]|%[0-9a-fA-F]{2})*))?` +
    String.raw`@[^\s:,@/?$][^\s@/?$]*/[^\s/?$]+(?:\?(?<options>[^\s$]*))?$`,
);
const NO_OPTIONS = ["user", "password", "host", "port", "dbname"]; // libpq would prefer them to those in the address

const isDatabase = (uri) => /^postgres(ql)?:\/\//.test(uri);

/** @returns {{user: ?string, password: ?string, options: ?string}} nothing for a URI of another form */
const parseDatabaseUri = (uri) => URI.exec(uri)?.groups ?? {};

/** @throws {SettingsError} */
function checkDatabaseUri(uri) {
  const { user, options } = parseDatabaseUri(uri);
  const form = "GALLERY_URI must have the form postgresql://user@host:5432/database";
  const characters = "The user consists of letters, digits, dots, hyphens and underscores";
  const password = "In a password, write %40 for @, %2F for /, %25 for % and %24 for $";
  requireThat(user, `${form}. ${characters}. ${password}.`);
  const names = [...new URLSearchParams(options).keys()];
  const isAgain = names.some((name) => NO_OPTIONS.includes(name));
  requireThat(!isAgain, `${form}. Write none of ${NO_OPTIONS.join(", ")} after a question mark.`);
}

module.exports = { checkDatabaseUri, isDatabase, parseDatabaseUri };
