/** Requests to the service, and what its answers and silences mean, in sentences. */

const TIMEOUT = 60_000; // ms; a gateway gives up after 30 s, a slow line needs its time on top

/** Why there is no answer. `code` is the API's, or `unsendable`, `cancelled`, `offline`, `silent`, `slow`, `gateway`, `page`. */
export class Failure extends Error {
  /**
   * @param {string} code
   * @param {string} message one sentence for a person
   */
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** @typedef {{endpoint: string, key: string}} Service */

function silent(service) {
  if (!navigator.onLine) return new Failure("offline", "You are offline. Connect to the internet and try again.");
  return new Failure(
    "silent",
    `Nothing answers at ${service.endpoint}. Is the address right, is the service running, and does it let this page read its answers?`,
  );
}

/** What a gateway says in front of the service, or a server that is not the service at all. */
function foreign(status, body) {
  const said = typeof body?.message === "string" ? ` (“${body.message}”)` : "";
  if (status === 429) return new Failure("gateway", "Too many requests at once. Wait a moment and try again.");
  if (status === 413) return new Failure("gateway", "The photo is too large for what stands in front of the service.");
  if (status === 401 || status === 403) {
    return new Failure("gateway", `The gateway refuses${said}. Does it need an API key, or is the address wrong?`);
  }
  if (status >= 500) {
    return new Failure("gateway", `The service did not answer in time, or broke off${said}. Try again in a few seconds.`);
  }
  return new Failure("gateway", `What answers there is not the face recognition service (status ${status})${said}.`);
}

function read(request) {
  let body = null;
  try {
    body = JSON.parse(request.responseText);
  } catch {
    // Not JSON, so not the service: foreign() says so.
  }
  if (body?.error?.message) throw new Failure(body.error.code, body.error.message);
  if (request.status !== 200 || body === null) throw foreign(request.status, body);
  return body;
}

/**
 * XMLHttpRequest, because fetch does not tell how much has been sent.
 * @param {Service} service
 * @param {string} method
 * @param {string} path
 * @param {{body?: FormData, onSent?: (share: number) => void, signal?: AbortSignal}} [options]
 * @returns {Promise<object>} the answer; rejects with a Failure, or the signal's reason
 */
function ask(service, method, path, { body, onSent, signal } = {}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const settle = () => {
      try {
        resolve(read(request));
      } catch (failure) {
        reject(failure);
      }
    };
    try {
      request.open(method, service.endpoint + path);
      if (service.key) request.setRequestHeader("x-api-key", service.key);
    } catch {
      reject(new Failure("silent", `${service.endpoint} is not an address, or the key is not one.`));
      return;
    }
    request.timeout = TIMEOUT;
    request.addEventListener("load", settle);
    request.addEventListener("error", () => reject(silent(service)));
    request.addEventListener("abort", () => reject(signal.reason));
    request.addEventListener("timeout", () =>
      reject(new Failure("slow", "The service has not answered within a minute. It may be overloaded: try again later.")),
    );
    if (onSent) {
      request.upload.addEventListener("progress", (event) => onSent(event.loaded / event.total));
      request.upload.addEventListener("load", () => onSent(1));
    }
    signal?.addEventListener("abort", () => request.abort());
    request.send(body ?? null);
  });
}

const CLASSIFY = "/classify?faces=all";

/**
 * @param {Service} service
 * @param {Blob} photo
 * @param {string} name
 * @param {{onSent: (share: number) => void, signal: AbortSignal}} options
 * @returns {Promise<object>} openapi.yaml's Classification
 */
export function classify(service, photo, name, options) {
  const body = new FormData();
  body.append("file", photo, name);
  return ask(service, "POST", CLASSIFY, { body, ...options });
}

/**
 * @param {Service} service
 * @returns {Promise<{status: string, model: {version: string, classes: number}}>}
 */
export async function health(service) {
  const answer = await ask(service, "GET", "/health");
  if (!answer.model) throw foreign(200, null);
  return answer;
}

/**
 * @param {Service} service
 * @returns {Promise<{id: number, name: string}[]>}
 */
export async function people(service) {
  const answer = await ask(service, "GET", "/people");
  if (!Array.isArray(answer.people)) throw foreign(200, null);
  return answer.people;
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * The same request for a shell. The key stays out of it: clipboards are read by many.
 * @param {Service} service
 * @param {string} name
 * @returns {string}
 */
export function curl(service, name) {
  const key = service.key ? ' -H "x-api-key: $API_KEY"' : "";
  const file = name.replace(/["\\]/g, "\\$&");
  return `curl${key} -F ${quoted(`file=@"${file}"`)} ${quoted(service.endpoint + CLASSIFY)}`;
}
