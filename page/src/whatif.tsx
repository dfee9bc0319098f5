// What a grant or a revoke would change, shown before it is made, and as a view of its own.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { groups, joined, roles, useAsked, useList } from "./account.js";
import { Refused } from "./api.js";
import { Caution, Problem, ReadingOn } from "./parts.js";
import type { Thought } from "./types.js";

/** After so many answers that it cannot be told now, a change may be made without: some fifteen seconds. */
const PATIENCE = 3;

export interface Wish {
  principal: string;
  action: "grant" | "revoke";
  /** An entitlement's id, or `account`. */
  entitlement: string;
}

/** What a wish would change, once the Worker has thought about it; it is ready where that is told, or why it cannot be. */
export function useThought(wish: Wish | null): { ready: boolean; thought: JSX.Element | null } {
  const query = wish === null ? "" : `principal=${encodeURIComponent(wish.principal)}&${wish.action}=${encodeURIComponent(wish.entitlement)}`;
  const { value: thought, error, failures } = useAsked<Thought>(query === "" ? null : `/v1/what-if?${query}`);
  if (query === "") return { ready: false, thought: null };
  // While the Worker is at another question it is only late with the answer: it is asked again in a moment. Where it goes on having none, nobody is kept waiting.
  if (error !== null) {
    return { ready: !(error instanceof Refused && error.code === "not_now" && failures < PATIENCE), thought: <Problem error={error} /> };
  }
  if (thought === null) return { ready: false, thought: <p role="status">Working out what it would change…</p> };
  return { ready: true, thought: <Told thought={thought} /> };
}

function Told({ thought }: { thought: Thought }): JSX.Element {
  return (
    <div class="thought" aria-label="What it would change">
      <p>
        <bdi>{thought.line}</bdi>
      </p>
      {thought.refused_by === null ? null : <Caution>It would be refused: {thought.refused_by.message}</Caution>}
      {thought.removes_member && thought.entitlement_id !== null ? <Caution>It is their last access, so the member would be removed.</Caution> : null}
      <Reaches title="More" of={thought.gains} />
      <Reaches title="Less" of={thought.loses} />
      <Found title="Findings that it would open" of={thought.findings.opens} />
      <Found title="Findings that it would close" of={thought.findings.closes} />
    </div>
  );
}

export function WhatIf({ wish }: { wish: Wish }): JSX.Element | null {
  return useThought(wish).thought;
}

const SHOWN = 12;

function Reaches({ title, of }: { title: string; of: Thought["gains"] }): JSX.Element | null {
  if (of.length === 0) return null;
  return (
    <>
      <h3>{title}</h3>
      <ul>
        {of.map(({ entitlement_id, name, through, reach, unlisted }) => {
          const more = Math.max(0, reach.length - SHOWN) + unlisted;
          return (
            <li key={`${entitlement_id} ${through}`}>
              <bdi>{name}</bdi>
              {through === "" ? "" : `, through ${through}`}
              {reach.length === 0 ? null : (
                <>
                  : <bdi>{reach.slice(0, SHOWN).map(({ told }) => told).join(", ")}</bdi>
                  {more === 0 ? "" : ` and ${more} more`}
                </>
              )}
            </li>
          );
        })}
      </ul>
    </>
  );
}

function Found({ title, of }: { title: string; of: Thought["findings"]["opens"] }): JSX.Element | null {
  if (of.length === 0) return null;
  return (
    <>
      <h3>{title}</h3>
      <ul>
        {of.map((finding) => (
          <li key={finding.id}>
            {finding.severity}: {finding.title}. {finding.evidence}
          </li>
        ))}
      </ul>
    </>
  );
}

/** The view: whoever wonders names somebody and something. */
export function Wonder(): JSX.Element {
  const known = useList(roles);
  const grouped = useList(groups);
  const [principal, setPrincipal] = useState("");
  const [action, setAction] = useState<Wish["action"]>("grant");
  const [entitlement, setEntitlement] = useState("");
  /** Each time that somebody asks is another one: the same may have another answer by now. */
  const [{ turn, wish }, setAsked] = useState<{ turn: number; wish: Wish | null }>({ turn: 0, wish: null });
  const choices = [{ entitlement_id: "account", name: "The account itself" }, ...known.items.filter((role) => role.grantable !== false), ...grouped.items].toSorted((one, other) => one.name.localeCompare(other.name));
  const wonder = (event: Event): void => {
    event.preventDefault();
    setAsked({ turn: turn + 1, wish: { principal: principal.trim(), action, entitlement } });
  };
  return (
    <>
      <h1>What if</h1>
      <p>What a grant or a revoke would change, who would stop it, and which findings it would open and close. Nothing is written.</p>
      <form class="wonder" onSubmit={wonder}>
        <label>
          E-mail address
          <input type="text" required value={principal} onInput={(event) => setPrincipal(event.currentTarget.value)} />
        </label>
        <label>
          Would
          <select value={action} onChange={(event) => setAction(event.currentTarget.value as Wish["action"])}>
            <option value="grant">be granted</option>
            <option value="revoke">lose</option>
          </select>
        </label>
        <label>
          Role or group
          <select required value={entitlement} onChange={(event) => setEntitlement(event.currentTarget.value)}>
            <option value="">–</option>
            {choices.map((each) => (
              <option key={each.entitlement_id} value={each.entitlement_id}>
                {each.name}
              </option>
            ))}
          </select>
        </label>
        <button type="submit" class="primary">Ask</button>
        <ReadingOn of={joined([], known, grouped)} />
      </form>
      {wish === null ? null : <WhatIf key={turn} wish={wish} />}
    </>
  );
}
