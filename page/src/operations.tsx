// The journal of what was asked of the connector.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { useAsked } from "./account.js";
import { ask, Refused, retryMillis } from "./api.js";
import { Empty, Problem, Time } from "./parts.js";
import type { Operation } from "./types.js";

/** As much as was read of a list, and of which one. */
interface Pages<T> {
  of: string;
  items: T[];
  cursor: string | null;
  error: unknown;
  busy: boolean;
  /** Whether it was read at all. */
  isRead: boolean;
}

/** A list that is read a page at a time, when somebody wants more, and as far as that again with each turn: what is shown stays until then. */
export function useMore<T>(path: string, turn: unknown = null): { items: T[]; more: (() => void) | null; error: unknown; busy: boolean } {
  const nothing: Pages<T> = { of: path, items: [], cursor: null, error: null, busy: true, isRead: false };
  const [read, setRead] = useState(nothing);
  /** Reads on from there, of the path that is looked at now. */
  const on = useRef<(after: string) => void>(() => undefined);
  /** How many pages somebody wants, how many of them they have, and of which path. */
  const wanted = useRef({ of: path, pages: 1, had: 1 });
  useEffect(() => {
    if (wanted.current.of !== path) wanted.current = { of: path, pages: 1, had: 1 };
    let over = false;
    /** Whether all of it is being read again, or will be: it reads what is wanted by then as well. */
    let isWhole = true;
    let failures = 0;
    let again: ReturnType<typeof setTimeout> | undefined;
    const tell = (what: (before: Pages<T>) => Partial<Pages<T>>): void => {
      if (over) return;
      setRead((latest) => {
        const before = latest.of === path ? latest : nothing;
        return { ...before, ...what(before) };
      });
    };
    const attempt = async (after: string | null): Promise<void> => {
      // What stands there can be used while it is read again.
      tell(({ isRead, busy }) => ({ busy: busy || after !== null || !isRead }));
      try {
        const fresh: T[] = [];
        let cursor = after;
        for (let n = 0; n < (after === null ? wanted.current.pages : 1) && (n === 0 || cursor !== null) && !over; n += 1) {
          const joined: string = cursor === null ? path : `${path}${path.includes("?") ? "&" : "?"}cursor=${encodeURIComponent(cursor)}`;
          const page = await ask<{ items: T[]; next_cursor?: string }>("GET", joined);
          fresh.push(...page.items);
          cursor = page.next_cursor ?? null;
        }
        if (over) return;
        failures = 0;
        isWhole = false;
        wanted.current.had = wanted.current.pages;
        tell(({ items }) => ({ items: after === null ? fresh : [...items, ...fresh], cursor, error: null, busy: false, isRead: true }));
      } catch (error) {
        if (over) return;
        // What is asked for again by itself is not asked for by anybody else meanwhile: it would be there twice.
        const passes = error instanceof Refused && error.passes;
        tell(({ isRead, busy }) => ({ error, busy: passes && (busy || after !== null || !isRead) }));
        failures += 1;
        if (passes) again = setTimeout(() => void attempt(after), retryMillis(failures));
        else {
          isWhole = false;
          // What could not be had is not read the next time either.
          wanted.current.pages = wanted.current.had;
        }
      }
    };
    on.current = (after) => {
      wanted.current.pages += 1;
      if (isWhole) tell(() => ({ busy: true }));
      else void attempt(after);
    };
    void attempt(null);
    return () => {
      over = true;
      clearTimeout(again);
    };
  }, [path, turn]);
  // What was read of another is not shown, not even for the moment until this one is read.
  const { items, cursor, error, busy } = read.of === path ? read : nothing;
  return { items, more: cursor === null ? null : () => on.current(cursor), error, busy };
}

export function Earlier({ more, busy }: { more: (() => void) | null; busy: boolean }): JSX.Element | null {
  if (more === null) return null;
  return (
    <button type="button" disabled={busy} onClick={more}>
      Earlier
    </button>
  );
}

function said(operation: Operation): string {
  const outcome = operation.outcome;
  if (outcome == null) return operation.state.replaceAll("_", " ");
  return outcome.message ?? outcome.code ?? outcome.outcome;
}

function asker({ origin }: Operation["request"]): string {
  const task = origin.task_number == null ? "" : `, task ${origin.task_number}`;
  const requester = origin.requester == null ? "" : `, for ${origin.requester}`;
  const approvers = origin.approvers == null || origin.approvers.length === 0 ? "" : `, approved by ${origin.approvers.join(", ")}`;
  return `by ${origin.by}${task}${requester}${approvers}`;
}

/** A line of a trail: a time, a blank, and what happened. */
function Line({ line }: { line: string }): JSX.Element {
  const [, at, text] = /^(\d{4}-\S+Z) (.*)$/s.exec(line) ?? [];
  return (
    <li>
      {at === undefined ? line : (
        <>
          <Time at={at} /> {text}
        </>
      )}
    </li>
  );
}

function Entry({ operation, open = false }: { operation: Operation; open?: boolean }): JSX.Element {
  return (
    <li class={operation.outcome?.outcome ?? operation.state}>
      <details open={open}>
        <summary>
          <Time at={operation.received_at} /> <strong>{operation.request.action}</strong> <bdi>{operation.email ?? operation.request.subject.emails[0] ?? ""}</bdi>: {said(operation)}
        </summary>
        <p>
          Number {operation.id}, {asker(operation.request)}; {operation.attempts} {operation.attempts === 1 ? "attempt" : "attempts"}
        </p>
        <ol>
          {operation.trail.map((line, n) => (
            <Line key={n} line={line} />
          ))}
        </ol>
      </details>
    </li>
  );
}

export function Operations({ filter, turn }: { filter: string; turn?: string }): JSX.Element {
  const { items, more, error, busy } = useMore<Operation>(`/v1/operations?limit=50${filter === "" ? "" : `&${filter}`}`, turn);
  return (
    <>
      <Problem error={error} />
      {items.length === 0 && !busy && error === null ? <Empty>Nothing was asked yet. A grant, revoke, invitation or removal from here, by REST, or by ConductorOne shows up here.</Empty> : null}
      <ul class="journal">
        {items.map((operation) => (
          <Entry key={operation.id} operation={operation} />
        ))}
      </ul>
      <Earlier more={more} busy={busy} />
    </>
  );
}

/** One operation, to which a change leads. */
export function OneOperation({ id }: { id: string }): JSX.Element {
  const { value: found, error } = useAsked<Operation>(`/v1/operations/${encodeURIComponent(id)}`);
  return (
    <>
      <p>
        <a href="#/operations">Operations</a>
      </p>
      <h1>Operation {id}</h1>
      <Problem error={error} />
      {found === null && error === null ? <p role="status">Looking…</p> : null}
      {found === null ? null : (
        <ul class="journal">
          <Entry operation={found} open />
        </ul>
      )}
    </>
  );
}

export function Journal(): JSX.Element {
  const [outcome, setOutcome] = useState("");
  return (
    <>
      <h1>Operations</h1>
      <div class="tools">
        <label>
          <span class="hidden">Show</span>
          <select value={outcome} onChange={(event) => setOutcome(event.currentTarget.value)}>
            <option value="">All</option>
            <option value="done">Carried out</option>
            <option value="refused">Refused</option>
          </select>
        </label>
      </div>
      <Operations filter={outcome === "" ? "" : `outcome=${outcome}`} />
    </>
  );
}

