// The account as the newest generation has it. Lists are read once for a generation, page by page, and shown while they grow.
import { useEffect, useState } from "preact/hooks";
import { ask, Refused } from "./api.js";
import type { Finding, Group, Person, Role, Token } from "./types.js";

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
}

/** How many rows the page asks for at once. */
const LIMIT = 1_000;

/** How long until what could not be read is asked for again. */
export const RETRY_MILLIS = 5_000;

export class Source<T> {
  private list: List<T> = { items: [], complete: false, error: null };
  private started = false;
  /** Counts what makes a read that is under way one of the past: what it still brings is shown to nobody. */
  private epoch = 0;
  /** Which generation is being read. */
  private generation: string | undefined;
  private again: ReturnType<typeof setTimeout> | undefined;
  private readonly listeners = new Set<(list: List<T>) => void>();

  constructor(
    private readonly paths: string[],
    private readonly filter = "",
  ) {}

  get value(): List<T> {
    return this.list;
  }

  subscribe(listener: (list: List<T>) => void): () => void {
    this.listeners.add(listener);
    if (!this.started || this.list.error?.passes === true) void this.read();
    return () => this.listeners.delete(listener);
  }

  /** Reads no further, where nobody looks any more. */
  stop(): void {
    this.epoch += 1;
  }

  /** Reads it again from the beginning, unless a read of that very generation is under way: what was shown stays until the first page is there. */
  async refresh(generation?: string): Promise<void> {
    const isUnderWay = !this.list.complete && this.list.error === null;
    if (this.started && !(isUnderWay && generation !== undefined && generation === this.generation)) await this.read();
  }

  forget(): void {
    this.stop();
    this.started = false;
    this.tell({ items: [], complete: false, error: null });
  }

  /** `again` is whether what was published meanwhile has it read once more. */
  private async read(again = true): Promise<void> {
    this.started = true;
    this.stop();
    clearTimeout(this.again);
    const { epoch } = this;
    let items: T[] = [];
    this.generation = undefined;
    try {
      for (const path of this.paths) {
        let cursor: string | undefined;
        do {
          const after = cursor === undefined ? "" : `&cursor=${encodeURIComponent(cursor)}`;
          const page = await ask<Page<T>>("GET", `/v1/${path}?limit=${LIMIT}${this.filter === "" ? "" : `&${this.filter}`}${after}`);
          if (epoch !== this.epoch) return;
          // Who came from one list into the other between the two reads would be in neither.
          if (again && this.generation !== undefined && this.generation !== page.generation) return await this.read(false);
          this.generation = page.generation;
          items = items.concat(page.items);
          cursor = page.next_cursor;
          this.tell({ items, complete: false, error: null });
        } while (cursor !== undefined);
      }
      this.tell({ items, complete: true, error: null });
    } catch (error) {
      if (epoch !== this.epoch) return;
      const refused = error instanceof Refused ? error : new Refused(0, "error", String(error));
      // What was shown stays until there is more of it.
      this.tell({ items: items.length < this.list.items.length ? this.list.items : items, complete: false, error: refused });
      // Whoever looks need not come again once the Worker can be reached.
      if (refused.passes && this.listeners.size > 0) this.again = setTimeout(() => void (epoch !== this.epoch || this.listeners.size === 0 ? undefined : this.read()), RETRY_MILLIS);
    }
  }

  private tell(list: List<T>): void {
    this.list = list;
    for (const listener of this.listeners) listener(list);
  }
}

export const people = new Source<Person>(["users", "invitations"]);
export const roles = new Source<Role>(["roles", "scoped-roles"]);
export const groups = new Source<Group>(["groups"]);
export const tokens = new Source<Token>(["tokens"]);
/** What is found wrong and is open. */
export const open = new Source<Finding>(["findings"], "state=open");

const ALL = [people, roles, groups, tokens, open];

/** Reads again what was read: after a change, or where another generation is there. */
export function refresh(generation?: string): void {
  for (const source of ALL) void source.refresh(generation);
}

/** Forgets everything, when the session ends. */
export function forget(): void {
  for (const source of ALL) source.forget();
}

/** What a route answers, again with each turn. Nothing is asked where there is no path. */
export function useAsked<T>(path: string | null, turn: unknown = null): { value: T | null; error: unknown } {
  return useRead(path, (of) => ask<T>("GET", of), turn);
}

/** What is read of something, by its name, again with each turn; what passes is read again by itself. */
export function useRead<T>(name: string | null, read: (name: string) => Promise<T>, turn: unknown = null): { value: T | null; error: unknown } {
  const [answer, setAnswer] = useState<{ of: string | null; value: T | null; error: unknown }>({ of: null, value: null, error: null });
  useEffect(() => {
    let again: ReturnType<typeof setTimeout> | undefined;
    let over = false;
    const attempt = async (name: string): Promise<void> => {
      try {
        const value = await read(name);
        if (!over) setAnswer({ of: name, value, error: null });
      } catch (failed) {
        if (over) return;
        setAnswer((before) => ({ of: name, value: before.of === name ? before.value : null, error: failed }));
        if (failed instanceof Refused && failed.passes) again = setTimeout(() => void attempt(name), RETRY_MILLIS);
      }
    };
    if (name !== null) void attempt(name);
    return () => {
      over = true;
      clearTimeout(again);
    };
  }, [name, turn]);
  // What was read of another is not shown, not even for the moment until this one is read.
  return answer.of === name ? answer : { value: null, error: null };
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

/** What is made of several lists: complete once all of them are, and as wrong as the first that is. */
export function joined<T>(items: T[], ...lists: List<unknown>[]): List<T> {
  return { items, complete: lists.every(({ complete }) => complete), error: lists.find(({ error }) => error !== null)?.error ?? null };
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
