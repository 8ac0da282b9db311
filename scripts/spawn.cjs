// serverless-offline starts Python through a shell and quotes nothing, so that no folder above may have a space in its
// name. Loaded before it, this has Python started without a shell.
const processes = require("node:child_process");
const { syncBuiltinESMExports } = require("node:module");

const { spawn } = processes;
processes.spawn = (command, args, options) =>
  spawn(command, args, args?.some?.((arg) => arg.endsWith("invoke.py")) ? { ...options, shell: false } : options);
syncBuiltinESMExports();
