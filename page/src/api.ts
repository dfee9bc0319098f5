// The Worker's own routes, as the page asks them: with its session, and a header that no other site can send.

/** An answer that is no success, with the product's own sentence. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    /** Another way to sign in, where there is one. */
    readonly entry: string | null = null,
  ) {
    super(detail);
  }

  /** Whether it may be over in a moment: nothing came, too much was asked, or the Worker says to come again. What is only read is read again then. */
  get passes(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

const HEADER = { "X-Connector-Page": "1" };

let onSignedOut: () => void = () => undefined;

/** Tells whom to call when the session has ended. */
export function whenSignedOut(then: () => void): void {
  onSignedOut = then;
}

/** Counts the sessions that this page had, as far as it knows: what is answered to an earlier one says nothing of this one. */
let sessions = 0;

/** Whatever was asked before is of another session than what is asked from now on. */
export function anotherSession(): void {
  sessions += 1;
}

let onEdition: (edition: string) => void = () => undefined;

/** Tells whom to call with the state of the account that an answer is of. */
export function whenEdition(then: (edition: string) => void): void {
  onEdition = then;
}

/** How long until what could not be had is asked for again, the first time and at most. */
const [RETRY_MILLIS, MOST_RETRY_MILLIS] = [5_000, 60_000];

/** The same after as many failures: twice as long each time. A page that somebody leaves open asks a Worker that is down for long once a minute. */
export function retryMillis(failures: number, first = RETRY_MILLIS): number {
  return Math.min(first * 2 ** (failures - 1), MOST_RETRY_MILLIS);
}

/** How long the page waits for what it reads. */
const READ_MILLIS = 30_000;

/** A change waits for Cloudflare, and for those before it. */
const CHANGE_MILLIS = 90_000;

function isRead(method: string): boolean {
  return method === "GET" || method === "HEAD";
}

/** Nobody waits for ever: what hangs would otherwise be the last that a view shows. */
function patience(method: string): number {
  return isRead(method) ? READ_MILLIS : CHANGE_MILLIS;
}

/** What is said of a change of which nobody knows what became. */
function perhapsDone(path: string): string {
  const tells = /\/(?:members|accounts|invitations)(?:\/|$)/.test(path) ? "Operations tells what became of it." : "look before you ask for it again.";
  return `It may have been done all the same: ${tells}`;
}

/** Why nothing came, or not all of it. What was to be changed may be changed by then: the page does not try that again. */
function silence(error: unknown, method: string, path: string): Refused {
  const [code, what] =
    error instanceof DOMException && error.name === "TimeoutError"
      ? ["timeout", `The Worker has not answered within ${patience(method) / 1000} seconds.`]
      : ["offline", "The Worker cannot be reached. Check the connection."];
  if (isRead(method)) return new Refused(0, code, `${what} The page tries again by itself.`);
  return new Refused(0, code, path === "/session" ? what : `${what} ${perhapsDone(path)}`);
}

/** The answer to a request; `limit` is what it and its body may take. */
async function send(method: string, path: string, limit: AbortSignal | null, body?: unknown, bearer?: string): Promise<Response> {
  const headers: Record<string, string> = { ...HEADER };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (bearer !== undefined) headers["Authorization"] = `Bearer ${bearer}`;
  try {
    return await fetch(path, {
      method,
      headers,
      credentials: "same-origin",
      cache: "no-store",
      signal: limit,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch (error) {
    throw silence(error, method, path);
  }
}

/** Names may hold characters that turn the text around them, and a name that reads as another one is a lie: they are shown as a sign. */
function visible(text: string): string {
  return text.replaceAll(/[\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
}

/** The same, to the end of the body. */
async function whole(method: string, path: string, body?: unknown, bearer?: string): Promise<{ response: Response; text: string }> {
  const response = await send(method, path, AbortSignal.timeout(patience(method)), body, bearer);
  try {
    return { response, text: visible(await response.text()) };
  } catch (error) {
    throw silence(error, method, path);
  }
}

/** The codes of a failure after which a change may go on all the same: no answer of the Coordinator, or none of the Worker, but of whatever stands before it. */
const OPEN_ENDED = ["coordinator_unreachable", "coordinator_failed", "error"];

function refusal(response: Response, text: string, method: string, path: string): Refused {
  const { status } = response;
  // Over HTTP/2 a status has no text.
  const bare = `The Worker answered ${`${status} ${response.statusText}`.trim()}.`;
  const refused = (code: string, detail: string, entry: string | null = null): Refused => {
    const isOpen = status >= 500 && OPEN_ENDED.includes(code) && !isRead(method) && path !== "/session";
    return new Refused(status, code, isOpen ? `${detail.replace(/\.?$/, ".")} ${perhapsDone(path)}` : detail, entry);
  };
  try {
    const problem = JSON.parse(text) as { code?: string; detail?: string };
    const entry = /^<(\/[a-z/]+)>; rel="authenticate"$/.exec(response.headers.get("Link") ?? "")?.[1] ?? null;
    return refused(problem.code ?? "error", problem.detail || bare, entry);
  } catch {
    return refused("error", bare);
  }
}

/** The state of the account that an answer is of, where it is of one: a generation, and how much of our own was changed since. Compressed, a tag is a weak one. */
function editionOf(response: Response): string | undefined {
  return /^(?:W\/)?"([0-9A-Z]+-[0-9a-z]+(?:-\d+)?)"$/.exec(response.headers.get("ETag") ?? "")?.[1];
}

/** What a route answers, and of which state of the account that is; an answer that is no success is thrown. */
export async function askOf<T>(method: string, path: string, body?: unknown): Promise<{ value: T; edition: string | undefined }> {
  const of = sessions;
  const { response, text } = await whole(method, path, body);
  // Whoever asks for the session itself is told.
  if (response.status === 401 && path !== "/session") {
    if (of === sessions) onSignedOut();
    else if (isRead(method)) throw new Refused(0, "another_session", "This was asked for in a session that is over. The page tries again by itself.");
  }
  if (!response.ok) throw refusal(response, text, method, path);
  const edition = editionOf(response);
  // A later page of a list is of the state that its first page was of.
  if (edition !== undefined && !path.includes("cursor=")) onEdition(edition);
  return { value: (response.status === 204 || method === "HEAD" ? undefined : JSON.parse(text)) as T, edition };
}

/** Asks a route; an answer that is no success is thrown. */
export async function ask<T>(method: string, path: string, body?: unknown): Promise<T> {
  return (await askOf<T>(method, path, body)).value;
}

/** What a session may do, and when it ends. */
export interface Session {
  right: "read" | "full";
  ends_at: string;
  /** Whose it is, where Cloudflare Access said so. */
  who?: string | null;
}

let onAnother: (session: Session, why: Refused) => void = () => undefined;

/** Tells whom to call with the session that there is in place of the one that is shown. */
export function whenAnother(then: (session: Session, why: Refused) => void): void {
  onAnother = then;
}

/**
 * Refuses where the session is not that of whoever is shown any more: a browser has one, and another tab may have opened another one since. What is sent
 * would be done by whoever has that. A session by a token has no name that could be another one, and costs no request.
 */
export async function stillTheirs(shown: Session): Promise<void> {
  if (shown.who == null) return;
  const now = await ask<Session>("GET", "/session").catch((failed: unknown) => {
    if (failed instanceof Refused && failed.status === 401) onSignedOut();
    // This is not tried again by itself.
    throw failed instanceof Refused && failed.status === 0 ? new Refused(0, failed.code, "Whose session this is could not be asked, and nothing was sent.") : failed;
  });
  if (now.who === shown.who && now.right === shown.right) return;
  const why = new Refused(409, "error", "Somebody else is signed in by now: look at who it is, above.");
  onAnother(now, why);
  throw why;
}

/** One of the doctor's checks. */
export interface Check {
  name: string;
  ok: boolean;
  required: boolean;
  message: string;
}

export interface Examination {
  ok: boolean;
  checks: Check[];
}

/** The doctor answers 503 where something required is missing, and says what. */
export async function examine(bearer?: string): Promise<Examination> {
  const { response, text } = await whole("GET", "/v1/doctor", undefined, bearer);
  if (response.status === 200 || response.status === 503) {
    const body = JSON.parse(text) as Partial<Examination>;
    if (body.checks !== undefined) return { ok: body.ok ?? false, checks: body.checks };
  }
  throw refusal(response, text, "GET", "/v1/doctor");
}

/** Saves a file that a route answers with. */
export async function download(path: string): Promise<void> {
  // A file takes as long as it has bytes.
  const response = await send("GET", path, null);
  if (!response.ok) throw refusal(response, visible(await response.text()), "GET", path);
  const named = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = named?.[1] ?? path.split("/").pop() ?? "file";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
