/** Requests that only the administrator may send: asks for the key when the service demands it. */

import { Failure } from "./http.js";
import { administratorKey, apiKey, endpoint } from "./memory.js";

/**
 * @param {(question: {error: string}) => Promise<string | boolean>} askKey
 * @returns {<T>(call: (service: import("./http.js").Service) => Promise<T>, collection?: string) => Promise<T>} sends a
 *   request with the administrator's key. As long as the service refuses the key, the user is asked for another one.
 */
export function administrator(askKey) {
  return async function asAdministrator(call, collection = "") {
    const address = endpoint();
    let typed = "";
    let error = "";
    for (;;) {
      // The API key of the settings may be the administrator's: it is valid for reading, too.
      const key = typed || administratorKey.get(address) || apiKey.get(address);
      try {
        return await call({ endpoint: address, key, collection });
      } catch (failure) {
        if (failure.code !== "unauthorized") throw failure;
      }
      if (typed || administratorKey.get(address)) error = "This is not the administrator’s key. Try again.";
      typed = await askKey({ error });
      administratorKey.set(address, typed);
      if (!typed) throw new Failure("cancelled", "Nothing was changed: the administrator’s key is needed.");
    }
  };
}
