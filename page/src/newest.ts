// Which state of the account is the newest that this page was told of: whoever shows an older one hears of it, and nobody else asks.
import { ask, whenEdition } from "./api.js";

/** While lists are in sight of somebody and nothing else was answered, the Worker is asked this often whether there is a newer state. */
const LOOK_MILLIS = 60_000;

let newest: string | undefined;
/** When another state took the place of the one before, and how often that was. */
let changedAt = 0;
let changes = 0;
/** When the Worker was last asked for what tells the newest state. */
let lookedAt = Date.now();
let timer: ReturnType<typeof setTimeout> | undefined;
const followers = new Set<() => void>();

/** The state that is the newest, as far as is known. */
export function newestEdition(): string | undefined {
  return newest;
}

/** How often another state took the place of the newest. */
export function changesOfNewest(): number {
  return changes;
}

/** The generation of a state, without what was changed since. Of two generations the newer one's id is the greater. */
function generationOf(edition: string): string {
  return edition.split("-", 2).join("-");
}

/** Whether what was read at a time is old: it is of another state, or it does not say of which and was read while others were still made of the newest. */
export function isOld(edition: string | undefined, isTold: boolean, readAt: number): boolean {
  return newest !== undefined && (edition !== newest || (!isTold && readAt < changedAt + LOOK_MILLIS));
}

/** A state was told. An older generation says nothing: what KV shows in one place may be a minute behind another. */
export function notice(edition: string): void {
  if (newest !== undefined && generationOf(edition) < generationOf(newest)) return;
  asking();
  if (edition === newest) return;
  const before = newest;
  newest = edition;
  if (before === undefined) return;
  changedAt = Date.now();
  changes += 1;
  call();
}

/** A generation was told without what was changed since. */
export function noticeGeneration(generation: string): void {
  if (newest === undefined || generation > generationOf(newest)) notice(generation);
}

/** What is asked just now tells the newest state as well. */
export function asking(): void {
  lookedAt = Date.now();
}

/** Calls this where another state is the newest, and every minute as long as the page is in sight: what KV did not show yet may be there by then. */
export function follow(follower: () => void): () => void {
  followers.add(follower);
  schedule();
  return () => {
    followers.delete(follower);
    schedule();
  };
}

/** Forgets everything, when the session ends. */
export function forgetNewest(): void {
  newest = undefined;
  changedAt = 0;
  asking();
}

function call(): void {
  for (const follower of [...followers]) follower();
}

/** A list's head alone, of which the Worker reads no more than a row: what it is of comes by `whenEdition`. */
async function look(): Promise<void> {
  asking();
  await ask("HEAD", "/v1/groups?limit=1").catch(() => undefined);
}

function schedule(): void {
  clearTimeout(timer);
  if (followers.size === 0 || document.hidden) return;
  const turn = async (): Promise<void> => {
    if (Date.now() >= lookedAt + LOOK_MILLIS) await look();
    call();
    schedule();
  };
  timer = setTimeout(() => void turn(), Math.max(0, lookedAt + LOOK_MILLIS - Date.now()));
}

whenEdition(notice);
document.addEventListener("visibilitychange", schedule);
