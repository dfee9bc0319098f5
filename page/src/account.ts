// The account as the newest generation has it. Lists are read once for a generation, page by page, and shown while they grow.
import { useEffect, useMemo, useState } from "preact/hooks";
import { ask, askOf, Refused, retryMillis } from "./api.js";
import { asking, changesOfNewest, follow, forgetNewest, isOld, newestEdition } from "./newest.js";
import type { Finding, Group, Person, Role, Status, Token } from "./types.js";

interface Page<T> {
  items: T[];
  next_cursor?: string;
  generation: string;
}

/** A list that is being read. */
export interface List<T> {
  items: T[];
  complete: boolean;
  error: Refused | null;
  /** When it was read, once it was to its end. */
  at: string | null;
  /** Whether it is being read again, and what is shown is that of `at`. */
  renewing: boolean;
}

const NOTHING: List<never> = { items: [], complete: false, error: null, at: null, renewing: false };

/** How many rows the page asks for at once. */
const LIMIT = 1_000;

/** A list of more pages than this is not read again with each change of the account, but ten pages of it a minute at most. */
const PAGES_A_MINUTE = 10;

export class Source<T> {
  private list: List<T> = NOTHING;
  private started = false;
  /** Counts what makes a read that is under way one of the past: what it still brings is shown to nobody. */
  private epoch = 0;
  private isUnderWay = false;
  /** Which state of the account it was last read of, and whether its answers told that. */
  private edition: string | undefined;
  private isTold = false;
  private begunAt = 0;
  private pages = 0;
  /** Whether somebody's own change made it old while nobody looked at it. */
  private isChanged = false;
  private failures = 0;
  private again: ReturnType<typeof setTimeout> | undefined;
  private unfollow: (() => void) | undefined;
  private readonly listeners = new Set<(list: List<T>) => void>();

  constructor(
    private readonly paths: string[],
    private readonly filter = "",
    /** What tells a row of one list and a row of another that are the same thing. */
    private readonly sameness?: (row: T) => string,
  ) {}

  get value(): List<T> {
    return this.list;
  }

  subscribe(listener: (list: List<T>) => void): () => void {
    this.listeners.add(listener);
    if (!this.started || (this.list.error?.passes === true && !this.isUnderWay)) void this.read();
    else this.renew();
    this.unfollow ??= follow(() => this.renew());
    return () => {
      this.listeners.delete(listener);
      if (this.listeners.size > 0) return;
      this.unfollow?.();
      this.unfollow = undefined;
    };
  }

  /** Reads no further, where nobody looks any more. */
  stop(): void {
    this.epoch += 1;
    this.isUnderWay = false;
  }

  /** Reads it again after a change: at once, or once somebody looks at it. What was shown stays meanwhile. */
  async refresh(): Promise<void> {
    this.isChanged = true;
    if (this.started && this.listeners.size > 0) await this.read();
  }

  forget(): void {
    this.stop();
    clearTimeout(this.again);
    this.started = false;
    this.tell(NOTHING);
  }

  /** Reads it again where there is a newer state of the account than what was read is of. */
  private renew(): void {
    if (!this.started || this.isUnderWay) return;
    const rests = this.pages > PAGES_A_MINUTE && Date.now() < this.begunAt + (this.pages / PAGES_A_MINUTE) * 60_000;
    const old = isOld(this.edition, this.isTold, this.begunAt);
    if (this.isChanged || (old && !rests)) void this.read();
    // Other lists are of the newer state by now: joined with them, it is not all there before it is read again.
    // A state that was newer for a moment, and is not any more, leaves nothing to be read again.
    else if (this.list.complete && this.list.renewing !== old) this.tell({ ...this.list, renewing: old });
  }

  /** Of what is on two lists the later one counts: it came from one into the other between the two reads. */
  private once(items: T[]): T[] {
    const { sameness } = this;
    if (sameness === undefined) return items;
    const last = new Map(items.map((row) => [sameness(row), row]));
    return items.filter((row) => last.get(sameness(row)) === row);
  }

  /** `again` is whether what was published meanwhile has it read once more. */
  private async read(again = true): Promise<void> {
    this.started = true;
    this.stop();
    clearTimeout(this.again);
    // What fails again and again tells nothing, and is not to keep anybody from asking.
    if (this.failures === 0) asking();
    this.isUnderWay = true;
    this.isChanged = false;
    this.begunAt = Date.now();
    [this.edition, this.isTold] = [newestEdition(), false];
    const { epoch } = this;
    // A list that was read to its end stays until the next one is: rows that somebody looks at do not go away and come back.
    const isWhole = this.list.at !== null;
    if (isWhole) this.tell({ ...this.list, renewing: true });
    let items: T[] = [];
    let generation: string | undefined;
    let pages = 0;
    const refusals: Refused[] = [];
    /** A list that is refused keeps nobody from seeing the other one. */
    const passOver = (error: unknown): null => {
      if (!(error instanceof Refused) || error.passes) throw error;
      refusals.push(error);
      return null;
    };
    try {
      for (const path of this.paths) {
        let cursor: string | undefined;
        do {
          const after = cursor === undefined ? "" : `&cursor=${encodeURIComponent(cursor)}`;
          const answer = await askOf<Page<T>>("GET", `/v1/${path}?limit=${LIMIT}${this.filter === "" ? "" : `&${this.filter}`}${after}`).catch(passOver);
          if (epoch !== this.epoch) return;
          if (answer === null) break;
          const { value: page, edition } = answer;
          // Who came from one list into the other between the two reads would be in both, or in neither.
          if (again && generation !== undefined && generation !== page.generation) return await this.read(false);
          // Of several lists the first was read first.
          if (pages === 0 && edition !== undefined) [this.edition, this.isTold] = [edition, true];
          generation = page.generation;
          items = items.concat(page.items);
          cursor = page.next_cursor;
          pages += 1;
          if (!isWhole) this.tell({ ...NOTHING, items });
        } while (cursor !== undefined);
      }
      if (refusals[0] !== undefined) throw refusals[0];
      [this.failures, this.pages, this.isUnderWay] = [0, pages, false];
      // What was told to be newer while it was read is not in it.
      const renewing = this.isTold && isOld(this.edition, true, this.begunAt);
      this.tell({ ...NOTHING, items: this.once(items), complete: true, at: new Date(this.begunAt).toISOString(), renewing });
    } catch (error) {
      if (epoch !== this.epoch) return;
      const refused = error instanceof Refused ? error : new Refused(0, "error", String(error));
      this.isUnderWay = false;
      this.failures += 1;
      // What was shown stays until there is more of it.
      this.tell({ ...this.list, items: isWhole || items.length < this.list.items.length ? this.list.items : items, complete: false, error: refused, renewing: false });
      // Whoever looks need not come again once the Worker can be reached.
      if (refused.passes && this.listeners.size > 0) this.again = setTimeout(() => void (epoch !== this.epoch || this.listeners.size === 0 ? undefined : this.read()), retryMillis(this.failures));
    }
  }

  private tell(list: List<T>): void {
    this.list = list;
    for (const listener of this.listeners) listener(list);
  }
}

/** Invitations are read first: who accepts meanwhile is on both lists then, and not on neither. It is one membership all the time. */
export const people = new Source<Person>(["invitations", "users"], "", ({ member_id }) => member_id);
export const roles = new Source<Role>(["roles", "scoped-roles"]);
export const groups = new Source<Group>(["groups"]);
export const tokens = new Source<Token>(["tokens"]);
/** What is found wrong and is open. */
export const open = new Source<Finding>(["findings"], "state=open");

const ALL = [people, roles, groups, tokens, open];

/** Reads again what was read, after a change. */
export function refresh(): void {
  for (const source of ALL) void source.refresh();
}

/** Forgets everything, when the session ends. */
export function forget(): void {
  for (const source of ALL) source.forget();
  forgetNewest();
}

/** Another number with each newer state of the account: what is read in turns is read again then. */
export function useNewest(): number {
  const [turn, setTurn] = useState(changesOfNewest());
  useEffect(() => {
    const latest = (): void => setTurn(changesOfNewest());
    latest();
    return follow(latest);
  }, []);
  return turn;
}

/** What a route answers, again with each turn. Nothing is asked where there is no path. */
export function useAsked<T>(path: string | null, turn: unknown = null): Read<T> {
  return useRead(path, (of) => ask<T>("GET", of), turn);
}

/** What was read, or what went wrong with that, and how many times in a row it did. */
export interface Read<T> {
  value: T | null;
  error: unknown;
  failures: number;
}

/** What is read of something, by its name, again with each turn; what passes is read again by itself. What takes long may stop once it is over. */
export function useRead<T>(name: string | null, read: (name: string, isOver: () => boolean) => Promise<T>, turn: unknown = null): Read<T> {
  const [answer, setAnswer] = useState<Read<T> & { of: string | null }>({ of: null, value: null, error: null, failures: 0 });
  useEffect(() => {
    let again: ReturnType<typeof setTimeout> | undefined;
    let over = false;
    let failures = 0;
    const attempt = async (name: string): Promise<void> => {
      try {
        const value = await read(name, () => over);
        if (!over) setAnswer({ of: name, value, error: null, failures: 0 });
      } catch (failed) {
        if (over) return;
        const times = (failures += 1);
        setAnswer((before) => ({ of: name, value: before.of === name ? before.value : null, error: failed, failures: times }));
        if (failed instanceof Refused && failed.passes) again = setTimeout(() => void attempt(name), retryMillis(failures));
      }
    };
    if (name !== null) void attempt(name);
    return () => {
      over = true;
      clearTimeout(again);
    };
  }, [name, turn]);
  // What was read of another is not shown, not even for the moment until this one is read.
  return answer.of === name ? answer : { value: null, error: null, failures: 0 };
}

/** A list, again whenever it has grown. */
export function useList<T>(source: Source<T>): List<T> {
  const [list, setList] = useState(source.value);
  useEffect(() => {
    setList(source.value);
    return source.subscribe(setList);
  }, [source]);
  return list;
}

/** Whether a list is all there, and of the newest state that is known: only then is anybody told what is not on it. */
export function isCurrent({ complete, renewing }: List<unknown>): boolean {
  return complete && !renewing;
}

/** What is made of several lists: complete once all of them are, as wrong as the first that is, and as old as the oldest of those that are complete. */
export function joined<T>(items: T[], ...lists: List<unknown>[]): List<T> {
  const [oldest = null] = lists.flatMap(({ at }) => at ?? []).toSorted();
  return {
    items,
    complete: lists.every(({ complete }) => complete),
    error: lists.find(({ error }) => error !== null)?.error ?? null,
    at: oldest,
    renewing: lists.some(({ renewing }) => renewing),
  };
}

/** What the Worker could not read of who holds what. Nobody is said to hold nothing for it, and what is counted may be more. */
export interface Lacks {
  /** Complete once the Worker has told what that is: joined with the lists that it is told of. */
  told: List<never>;
  /** Why it is not all known who holds what; none where it is. */
  all: string[];
  /** The same of what somebody holds, and of what a group gives. */
  ofPerson: (person: Person) => string[];
  ofGroup: (group: Group) => string[];
}

/** The lists that tell who holds what. */
const HOLDINGS = ["members", "user_groups", "user_group_members"] as const;

/** How it begins what the Worker tells of a list that the account does not have: nothing of that is missing. */
const ABSENT = "this account does not have";

/** Why a list is not all known, or what it tells of one record, by its id; nothing where it is. Of more records than are named any may be the one. */
function lacking(capabilities: Status["capabilities"], list: (typeof HOLDINGS)[number], id?: string): string[] {
  const told = capabilities[list];
  if (told === undefined) return [];
  const { on, message, kept_from, unreadable } = told;
  const isRead = (on || message?.startsWith(ABSENT) === true) && kept_from === undefined;
  const isAnother = (odd: string): boolean => id !== undefined && /^[0-9a-f]{32}: /.test(odd) && !odd.startsWith(`${id}: `);
  const areOthers = unreadable === undefined || (unreadable.first.length === unreadable.count && unreadable.first.every(isAnother));
  if (isRead && areOthers) return [];
  const name = list.replaceAll("_", " ");
  return [message ?? (unreadable === undefined ? `the ${name} cannot be read` : `${unreadable.count} of the ${name} cannot be read in full, such as ${unreadable.first.join(", ")}`)];
}

/** What the Worker could not read of who holds what, again with each newer state of the account. */
export function useLacks(): Lacks {
  const { value: status, error } = useAsked<Status>("/v1/status", useNewest());
  // The same as before is no reason to show everything anew.
  const known = status === null || error !== null ? null : JSON.stringify(status.capabilities);
  return useMemo<Lacks>(() => {
    const capabilities: Status["capabilities"] = known === null ? {} : (JSON.parse(known) as Status["capabilities"]);
    return {
      told: { ...NOTHING, complete: known !== null, error: error === null || error instanceof Refused ? error : new Refused(0, "error", String(error)) },
      all: HOLDINGS.flatMap((list) => lacking(capabilities, list)),
      // Who is in a group whose own record cannot be read is not known of anybody.
      ofPerson: ({ member_id }) => [...lacking(capabilities, "members", member_id), ...lacking(capabilities, "user_groups"), ...lacking(capabilities, "user_group_members", member_id)],
      ofGroup: ({ id }) => lacking(capabilities, "user_groups", id),
    };
  }, [known, error]);
}

/** What entitlements are called, by their ids. */
export function useTitles(): Map<string, string> {
  const known = useList(roles);
  const all = useList(groups);
  const titles = new Map<string, string>();
  for (const role of known.items) titles.set(role.entitlement_id, role.name);
  for (const group of all.items) titles.set(group.entitlement_id, `${group.name} (group)`);
  return titles;
}

/** The entitlement and the principal that the id of a grant is made of. */
export function partsOf(grant: string): { entitlement: string; principal: string } {
  const parts = grant.split(":");
  return { entitlement: parts.slice(0, 3).join(":"), principal: parts.slice(3).join(":") };
}

/** The address of the view of an entitlement. */
export function linkOf(entitlement: string): string {
  const [kind, id] = entitlement.split(":");
  const view = kind === "group" ? "groups" : "roles";
  return `#/${view}/${encodeURIComponent(`${kind}:${id}`)}`;
}

/** The address of the view of whatever a key names, where it has one. */
export function viewOf(key: string): string | null {
  const [kind, id] = key.split(":");
  if (id === undefined) return null;
  switch (kind) {
    case "user":
    case "invitation":
      return `#/people/${encodeURIComponent(key)}`;
    case "role":
    case "scoped_role":
    case "group":
      return linkOf(key);
    case "api_token":
      return `#/tokens/${encodeURIComponent(id)}`;
    default:
      return null;
  }
}

/** The route of an entitlement's grants: `roles/<id>` and so on. */
export function routeOf(entitlement: string): string {
  const [kind, id] = entitlement.split(":");
  const collection = kind === "group" ? "groups" : kind === "scoped_role" ? "scoped-roles" : "roles";
  return `/v1/${collection}/${id}`;
}

/** A person as the routes name it. */
export function nameOf(person: Person): string {
  return person.resource_type === "invitation" ? `invitation:${person.id}` : person.id;
}
