// What a grant or a revoke would change, shown before it is made, and as a view of its own.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { groups, joined, roles, useAsked, useList, useNewest, type Read } from "./account.js";
import { ask, Refused, retryMillis } from "./api.js";
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

/** Right before a change it is asked this often, where nothing comes or the Worker says to come again: after 1, 2, 4 and 8 seconds, some fifteen as well. */
const [LAST_PATIENCE, FIRST_WAIT_MILLIS] = [5, 1_000];

/** Whether the Worker is at another question, and only late with its answer. */
function isLate(error: unknown): boolean {
  return error instanceof Refused && error.code === "not_now";
}

/** All that somebody decides by. What a refusal says may change with every moment, its code does not. */
function decisive({ line, removes_member, refused_by, gains, loses, findings }: Thought): string {
  return JSON.stringify([refused_by?.code ?? line, removes_member, gains, loses, findings]);
}

/**
 * What a wish would change, once the Worker has thought about it, and with each newer state of the account; it is ready where that is told, or why it
 * cannot be. `check` asks once more, right before the change is made: where that would be another one than is shown by then, it refuses, and the new one is shown.
 */
export function useThought(wish: Wish | null): { ready: boolean; thought: JSX.Element | null; told: Thought | null; check: () => Promise<void> } {
  const path = wish === null ? null : `/v1/what-if?principal=${encodeURIComponent(wish.principal)}&${wish.action}=${encodeURIComponent(wish.entitlement)}`;
  /** What could not be asked once more is asked for by itself from then on. */
  const [turn, setTurn] = useState(0);
  const read = useAsked<Thought>(path, `${turn}/${useNewest()}`);
  /** What was answered when it was asked once more, in place of what had been read. */
  const [later, setLater] = useState<{ before: Read<Thought>; now: Read<Thought> } | null>(null);
  const { value, error, failures } = later?.before === read ? later.now : read;
  const left = useRef(false);
  useEffect(() => () => void (left.current = true), []);
  // What could be read once, and cannot be any more, is not shown.
  const told = error === null ? value : null;
  const check = async (): Promise<void> => {
    if (path === null) return;
    let now: Read<Thought> | null = null;
    for (let times = 1; now === null; times += 1) {
      try {
        now = { value: await ask<Thought>("GET", path), error: null, failures: 0 };
      } catch (failed) {
        if (told !== null && failed instanceof Refused && failed.passes && times < LAST_PATIENCE && !left.current) await new Promise((resolve) => setTimeout(resolve, retryMillis(times, FIRST_WAIT_MILLIS)));
        else now = { value: null, error: failed, failures: PATIENCE };
      }
    }
    // Whoever closed it meanwhile does not want it any more.
    if (left.current) throw new Refused(0, "error", "It was given up.");
    const isSame = now.value === null || told === null ? now.value === told : decisive(now.value) === decisive(told);
    if (isSame) return;
    setLater({ before: read, now });
    if (now.value === null) setTurn(turn + 1);
    throw new Refused(0, "error", now.value === null ? "It cannot be told any more what it would change. Look again." : "It would change something else by now. Look again.");
  };
  if (path === null) return { ready: false, thought: null, told, check };
  // While the Worker is at another question it is asked again in a moment. Where it goes on having no answer, nobody is kept waiting.
  if (error !== null) return { ready: !(isLate(error) && failures < PATIENCE), thought: <Problem error={error} />, told, check };
  if (value === null) return { ready: false, thought: <p role="status">Working out what it would change…</p>, told, check };
  return { ready: true, thought: <Told thought={value} />, told, check };
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
