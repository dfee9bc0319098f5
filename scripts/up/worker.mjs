// The deployed Worker, asked with the connector's token.

import { told } from "./commands.mjs";
import { proxyHint } from "./proxy.mjs";
import { Stop } from "./terminal.mjs";

/** The Worker answers a request within some 20 s. */
const PATIENCE_MS = 60_000;

/** How long to wait before the Worker is asked again how far it is, in milliseconds. */
const LOOK_MS = Number(process.env.LOOK_MS ?? 1_000);

export const pause = () => new Promise((resolve) => setTimeout(resolve, LOOK_MS));

/** Why a call came to nothing, for a terminal. */
export const reason = (error) => told(error.cause?.code ?? error.message);

/** The Worker said no, in its own words. */
export class Refusal extends Error {
  constructor(status, answer, text) {
    super(told(`${answer?.detail ?? text.slice(0, 300)} (${answer?.code ?? status})`));
    this.status = status;
    this.code = answer?.code;
  }
}

/** Where nobody on the way can read what is sent: over https, or within this machine, where a Worker under development is. */
export const PRIVATE = "https:// and a host, or http:// and a host of this machine";
export function isPrivate(base) {
  if (!URL.canParse(base)) return false;
  const { protocol, hostname } = new URL(base);
  return protocol === "https:" || hostname === "localhost" || hostname === "[::1]" || /^127(\.\d+){3}$/.test(hostname);
}

export class Worker {
  #token;

  constructor(base, token) {
    if (token !== undefined && !isPrivate(base)) {
      throw new Stop(`${base} is no https:// address, and the token would be sent so that everybody on the way can read it: give the Worker's https:// address`, 2);
    }
    this.base = base.replace(/\/+$/, "");
    this.#token = token;
  }

  /** What the Worker answers, whatever its status: its JSON and the status. */
  async ask(method, path, body) {
    const call = fetch(`${this.base}${path}`, {
      method,
      headers: {
        ...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      body: body === undefined ? undefined : JSON.stringify(body),
      redirect: "error",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    const response = await call.catch((error) => {
      const hint = proxyHint(this.base);
      throw hint === undefined ? error : new Error(`${reason(error)}; ${hint}`);
    });
    const text = await response.text();
    try {
      return { status: response.status, answer: JSON.parse(text), text };
    } catch {
      throw new Error(`${this.base} answered ${response.status} and no JSON: is that the Worker's address?`);
    }
  }

  /** The answer of a call that succeeds; else a `Refusal` with the Worker's own sentence, or an error where there is none to read. */
  async call(method, path, body) {
    const { status, answer, text } = await this.ask(method, path, body);
    if (status >= 500) throw new Error(`${answer?.detail ?? status} (${answer?.code ?? status})`);
    if (status >= 400) throw new Refusal(status, answer, text);
    return answer;
  }
}
