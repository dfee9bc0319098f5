// The journal of what was asked of the connector.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { RETRY_MILLIS, useAsked } from "./account.js";
import { ask, Refused } from "./api.js";
import { Empty, Problem, Time } from "./parts.js";
import type { Operation } from "./types.js";

/** A list that is read a page at a time, when somebody wants more. */
export function useMore<T>(path: string): { items: T[]; more: (() => void) | null; error: unknown; busy: boolean } {
  const [items, setItems] = useState<T[]>([]);
  const [cursor, setCursor] = useState<string | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(true);
  const read = async (after: string | null, over: () => boolean): Promise<void> => {
    setBusy(true);
    try {
      const joined = after === null ? path : `${path}${path.includes("?") ? "&" : "?"}cursor=${encodeURIComponent(after)}`;
      const page = await ask<{ items: T[]; next_cursor?: string }>("GET", joined);
      if (over()) return;
      setItems((before) => (after === null ? page.items : [...before, ...page.items]));
      setCursor(page.next_cursor ?? null);
      setError(null);
    } catch (failed) {
      if (over()) return;
      setError(failed);
      if (failed instanceof Refused && failed.passes) setTimeout(() => void (over() || read(after, over)), RETRY_MILLIS);
    }
    if (!over()) setBusy(false);
  };
  const left = useRef(false);
  useEffect(() => {
    let over = false;
    left.current = false;
    void read(null, () => over);
    return () => {
      over = true;
      left.current = true;
    };
  }, [path]);
  return { items, more: cursor === null ? null : () => void read(cursor, () => left.current), error, busy };
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
          {operation.trail.map((line) => (
            <Line key={line} line={line} />
          ))}
        </ol>
      </details>
    </li>
  );
}

export function Operations({ filter }: { filter: string }): JSX.Element {
  const { items, more, error, busy } = useMore<Operation>(`/v1/operations?limit=50${filter === "" ? "" : `&${filter}`}`);
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

