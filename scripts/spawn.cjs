// Loaded before serverless-offline, so that it starts Python without a shell. It quotes no arguments for the shell and
// would fail in folders with a space in the path.
const processes = require("node:child_process");
const { syncBuiltinESMExports } = require("node:module");

const { spawn } = processes;
processes.spawn = (command, args, options) =>
  spawn(command, args, args?.some?.((arg) => arg.endsWith("invoke.py")) ? { ...options, shell: false } : options);
syncBuiltinESMExports();
