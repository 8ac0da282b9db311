/** Sends requests. Every way in which one can fail becomes a Failure with a sentence for the user. */

import { FAILURES } from "./words.js";

const TIMEOUT = 60_000; // ms; gateways give up after 30 s, and a slow connection needs additional time for the upload

/**
 * The reason why a request has no result. `code` is one of the API's error codes, or `unsendable`, `cancelled`, `offline`,
 * `unreachable`, `timeout`, `gateway`, `internal`.
 */
export class Failure extends Error {
  /**
   * @param {string} code
   * @param {string} message one sentence for the user
   * @param {{file: string, reason: string}[]} [skipped] photos that could not be used
   */
  constructor(code, message, skipped = []) {
    super(message);
    this.code = code;
    this.skipped = skipped;
  }
}

/** @typedef {{endpoint: string, key: string, collection?: string}} Service collection: "" for the service's default */

function unreachable(service) {
  if (!navigator.onLine) return new Failure("offline", "You are offline. Connect to the internet and try again.");
  return new Failure(
    "unreachable",
    `Nothing answers at ${service.endpoint}. Is the address correct? Is the service running? Does it allow requests from this page (CORS)?`,
  );
}

/** Describe a response that does not come from the service: from the gateway in front of it, or from another server. */
export function unexpectedResponse(status, body) {
  const quote = typeof body?.message === "string" ? ` (“${body.message}”)` : "";
  if (status === 429) return new Failure("gateway", "Too many requests at once. Wait a moment and try again.");
  if (status === 413) return new Failure("gateway", "The photo is too large for the gateway in front of the service.");
  if (status === 401 || status === 403) {
    return new Failure("gateway", `The gateway refused the request${quote}. Does it need an API key, or is the address wrong?`);
  }
  if (status >= 500) {
    return new Failure("gateway", `The service did not answer in time, or it failed${quote}. Try again in a few seconds.`);
  }
  return new Failure("gateway", `The server at this address is not the face recognition service (status ${status})${quote}.`);
}

function parseResponse(xhr) {
  let body = null;
  try {
    body = JSON.parse(xhr.responseText);
  } catch {
    // The service always sends JSON, so this is another server: unexpectedResponse() describes it.
  }
  const { code, message } = body?.error ?? {};
  if (message) throw new Failure(code, FAILURES[code] ?? message, body.skipped);
  if (![200, 201].includes(xhr.status) || body === null) throw unexpectedResponse(xhr.status, body);
  return { status: xhr.status, body };
}

/**
 * Send a request with XMLHttpRequest, because fetch does not report upload progress.
 * @param {Service} service
 * @param {string} method
 * @param {string} path
 * @param {{form?: FormData, json?: object, onProgress?: (fraction: number) => void, signal?: AbortSignal}} [options]
 * @returns {Promise<{status: number, body: object}>} the response's JSON; rejects with a Failure, or with the signal's reason
 */
export function request(service, method, path, { form, json, onProgress, signal } = {}) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    const settle = () => {
      try {
        resolve(parseResponse(xhr));
      } catch (failure) {
        reject(failure);
      }
    };
    try {
      xhr.open(method, service.endpoint + path);
      if (service.key) xhr.setRequestHeader("x-api-key", service.key);
      if (json) xhr.setRequestHeader("content-type", "application/json");
    } catch {
      reject(new Failure("unreachable", `${service.endpoint} is not a valid address, or the key contains invalid characters.`));
      return;
    }
    xhr.timeout = TIMEOUT;
    xhr.addEventListener("load", settle);
    xhr.addEventListener("error", () => reject(unreachable(service)));
    xhr.addEventListener("abort", () => reject(signal.reason));
    xhr.addEventListener("timeout", () =>
      reject(new Failure("timeout", "The service did not answer within a minute. It may be overloaded. Try again later.")),
    );
    if (onProgress) {
      xhr.upload.addEventListener("progress", (event) => onProgress(event.loaded / event.total));
      xhr.upload.addEventListener("load", () => onProgress(1));
    }
    signal?.addEventListener("abort", () => xhr.abort());
    xhr.send(form ?? (json ? JSON.stringify(json) : null));
  });
}
