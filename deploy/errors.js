/** A setting that the user has to correct. Serverless shows the message without a stack trace. */
class SettingsError extends Error {}

/** @throws {SettingsError} if the condition does not hold */
function requireThat(condition, message) {
  if (!condition) throw new SettingsError(message);
}

module.exports = { SettingsError, requireThat };
