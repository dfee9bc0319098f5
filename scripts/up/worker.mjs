// The deployed Worker, asked with the connector's token.

import { told } from "./commands.mjs";
import { proxyHint } from "./proxy.mjs";
import { Stop } from "./terminal.mjs";

/** The Worker answers a request within some 20 s. */
const PATIENCE_MS = 60_000;

/** How long to wait before the Worker is asked again how far it is, in milliseconds. */
const LOOK_MS = Number(process.env.LOOK_MS ?? 1_000);

/** Tells anybody that the connector is what answers. */
const HEALTH = "/healthz";

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

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refuse(status, answer, text) {
  if (status >= 500) throw new Error(`${answer?.detail ?? status} (${answer?.code ?? status})`);
  if (status >= 400) throw new Refusal(status, answer, text);
}

export class Worker {
  #token;
  #isMet = false;

  constructor(base, token) {
    if (token !== undefined && !isPrivate(base)) {
      throw new Stop(`${base} is no https:// address, and the token would be sent so that everybody on the way can read it: give the Worker's https:// address`, 2);
    }
    this.base = base.replace(/\/+$/, "");
    this.#token = token;
  }

  /** Looks whether the connector is what answers here: an address may be mistyped, and the token is not for whoever is there instead. */
  async meet() {
    if (this.#isMet || this.#token === undefined) return;
    const { status, text } = await this.#send("GET", HEALTH);
    const answer = parsed(text);
    if (status !== 200 || answer?.status !== "ok" || typeof answer.version !== "string") {
      throw new Error(`what answers at ${this.base} is not the connector, by its ${HEALTH} (HTTP ${status}), and was sent no token`);
    }
    this.#isMet = true;
  }

  /** What the Worker answers, whatever its status: its text and the status. */
  async #send(method, path, body) {
    const isOpen = path === HEALTH;
    if (!isOpen) await this.meet();
    const call = fetch(`${this.base}${path}`, {
      method,
      headers: {
        ...(isOpen || this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
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
    return { status: response.status, text: await response.text() };
  }

  /** What the Worker answers, whatever its status: its JSON and the status. */
  async ask(method, path, body) {
    const { status, text } = await this.#send(method, path, body);
    const answer = parsed(text);
    if (answer === undefined) throw new Error(`${this.base} answered ${status} and no JSON: is that the Worker's address?`);
    return { status, answer, text };
  }

  /** The answer of a call that succeeds; else a `Refusal` with the Worker's own sentence, or an error where there is none to read. */
  async call(method, path, body) {
    const { status, answer, text } = await this.ask(method, path, body);
    refuse(status, answer, text);
    return answer;
  }

  /** The answer of a call that succeeds and is no JSON. */
  async text(path) {
    const { status, text } = await this.#send("GET", path);
    refuse(status, parsed(text), text);
    return text;
  }
}
