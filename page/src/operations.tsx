// The journal of what was asked, and what changed from one generation to the next.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { linkOf, partsOf, useTitles } from "./account.js";
import { ask } from "./api.js";
import { Empty, Problem, Time } from "./parts.js";
import type { Change, Operation } from "./types.js";

/** A list that is read a page at a time, when somebody wants more. */
function useMore<T>(path: string): { items: T[]; more: (() => void) | null; error: unknown; busy: boolean } {
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
      if (!over()) setError(failed);
    }
    if (!over()) setBusy(false);
  };
  useEffect(() => {
    let over = false;
    void read(null, () => over);
    return () => {
      over = true;
    };
  }, [path]);
  return { items, more: cursor === null ? null : () => void read(cursor, () => false), error, busy };
}

function Earlier({ more, busy }: { more: (() => void) | null; busy: boolean }): JSX.Element | null {
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

export function Operations({ filter }: { filter: string }): JSX.Element {
  const { items, more, error, busy } = useMore<Operation>(`/v1/operations?limit=50${filter === "" ? "" : `&${filter}`}`);
  return (
    <>
      <Problem error={error} />
      {items.length === 0 && !busy && error === null ? <Empty>Nothing was asked of it.</Empty> : null}
      <ul class="journal">
        {items.map((operation) => (
          <li key={operation.id} class={operation.outcome?.outcome ?? operation.state}>
            <details>
              <summary>
                <Time at={operation.received_at} /> <strong>{operation.request.action}</strong> <bdi>{operation.email ?? operation.request.subject.emails[0] ?? ""}</bdi>: {said(operation)}
              </summary>
              <p>
                Number {operation.id}, {asker(operation.request)}; {operation.attempts} {operation.attempts === 1 ? "attempt" : "attempts"}
              </p>
              <ol>
                {operation.trail.map((line) => (
                  <li key={line}>{line}</li>
                ))}
              </ol>
            </details>
          </li>
        ))}
      </ul>
      <Earlier more={more} busy={busy} />
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

export function Changes(): JSX.Element {
  const { items, more, error, busy } = useMore<Change>("/v1/changes?limit=200");
  const titles = useTitles();
  const title = (grant: string): JSX.Element => {
    const { entitlement } = partsOf(grant);
    return <a href={linkOf(entitlement)}>{titles.get(entitlement) ?? entitlement}</a>;
  };
  return (
    <>
      <h1>Changes</h1>
      <p>What each sync found changed, the newest first.</p>
      <Problem error={error} />
      {items.length === 0 && !busy && error === null ? <Empty>Nothing changed between the generations that are kept.</Empty> : null}
      <ul class="journal">
        {items.map((change) => (
          <li key={`${change.generation}/${change.key}`} class={change.kind}>
            <Time at={change.published_at} />{" "}
            {change.key.startsWith("user:") || change.key.startsWith("invitation:") ? (
              <a href={`#/people/${encodeURIComponent(change.key)}`}>
                <bdi>{change.name}</bdi>
              </a>
            ) : (
              <bdi>{change.name}</bdi>
            )}{" "}
            {change.kind === "changed" ? "" : change.kind}
            <ul>
              {change.grants_added.map((grant) => (
                <li key={grant} class="added">
                  + {title(grant)}
                </li>
              ))}
              {change.grants_removed.map((grant) => (
                <li key={grant} class="removed">
                  − {title(grant)}
                </li>
              ))}
              {change.fields.map((field) => (
                <li key={field}>{field.replaceAll("_", " ")} is another one</li>
              ))}
            </ul>
          </li>
        ))}
      </ul>
      <Earlier more={more} busy={busy} />
    </>
  );
}
