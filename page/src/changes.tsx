// Who gained and lost what: with each sync, between two syncs or two days, and of one person.
import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { linkOf, partsOf, useAsked, useNewest, useRead, useTitles } from "./account.js";
import { ask } from "./api.js";
import { Earlier, useMore } from "./operations.js";
import { Empty, Name, Problem, Time, local, number } from "./parts.js";
import type { By, Change, Gain, Status } from "./types.js";

/** Who made it, as far as that is known. */
function Author({ of }: { of: { cause: string; by: By | null } }): JSX.Element {
  const { by, cause } = of;
  if (by === null || by.who === "unknown") return <span class="count">{cause === "unknown" || cause === "" ? "by whom is not known" : cause.replaceAll("_", " ")}</span>;
  return (
    <span class="count">
      by <Name of={by.who} />
      {by.through ? <>, through <Name of={by.through} /></> : null}
      {by.requester ? <>, for <Name of={by.requester} /></> : null}
      {by.operation === undefined ? null : <>, operation <a href={`#/operations/${by.operation}`}>{by.operation}</a></>}
    </span>
  );
}

function Somebody({ id, name }: { id: string; name: string }): JSX.Element {
  if (!/^(user|invitation):/.test(id)) return <Name of={name} />;
  return (
    <a href={`#/people/${encodeURIComponent(id)}`}>
      <Name of={name} />
    </a>
  );
}

function Gained({ change }: { change: Gain }): JSX.Element {
  return (
    <>
      <span class={change.what === "gained" ? "added" : "removed"}>
        {change.what === "gained" ? "+" : "−"} <a href={linkOf(change.entitlement)}><bdi>{change.name}</bdi></a>
      </span>{" "}
      <Time at={change.happened_at ?? change.seen_at} /> <Author of={change} />
    </>
  );
}

/** What one person gained and lost. */
export function History({ principal, turn }: { principal: string; turn: string }): JSX.Element {
  const { items, more, error, busy } = useMore<Gain>(`/v1/history?limit=50&person=${encodeURIComponent(principal)}`, turn);
  return (
    <>
      <Problem error={error} />
      {items.length === 0 && !busy && error === null ? <Empty>Nothing changed since the connector began to note changes.</Empty> : null}
      <ul class="journal">
        {items.map((change) => (
          <li key={change.number}>
            <Gained change={change} />
          </li>
        ))}
      </ul>
      <Earlier more={more} busy={busy} />
    </>
  );
}

/** At most this many changes between two days are looked through. */
const MOST = 20_000;

interface Between {
  changes: Gain[];
  /** Gained and lost again, or lost and gained again. */
  passing: number;
  begins: string | null;
  gaps: string[];
  isWhole: boolean;
}

interface Told {
  items: Gain[];
  next_cursor?: string;
  begins_at: string | null;
  gaps: string[];
}

/** What is different at the end of a time from its beginning: of each grant the last change, where it is not the contrary of the first. */
function difference(newestFirst: Gain[]): { changes: Gain[]; passing: number } {
  const of = new Map<string, { first: Gain; last: Gain }>();
  for (const change of newestFirst) {
    const key = `${change.principal} ${change.entitlement}`;
    const known = of.get(key);
    if (known === undefined) of.set(key, { first: change, last: change });
    else known.first = change;
  }
  const all = [...of.values()];
  const changes = all.filter(({ first, last }) => first.what === last.what).map(({ last }) => last);
  return { changes, passing: all.length - changes.length };
}

async function between(from: string, to: string, isOver: () => boolean): Promise<Between> {
  const found: Gain[] = [];
  let cursor = "";
  for (;;) {
    const page = await ask<Told>("GET", `/v1/history?limit=1000&from=${from}&to=${to}${cursor}`);
    found.push(...page.items);
    const isWhole = page.next_cursor === undefined;
    if (isWhole || found.length >= MOST || isOver()) return { ...difference(found), begins: page.begins_at, gaps: page.gaps.filter((at) => at >= from && at < to), isWhole };
    cursor = `&cursor=${encodeURIComponent(page.next_cursor ?? "")}`;
  }
}

/** The beginning of a day of the reader's, and of the day after it, as the routes take times. */
function times(day: string): [string, string] {
  const [year = 0, month = 1, date = 1] = day.split("-").map(Number);
  const at = (plus: number): string => `${new Date(year, month - 1, date + plus).toISOString().slice(0, 19)}Z`;
  return [at(0), at(1)];
}

function BetweenDays({ from, to }: { from: string; to: string }): JSX.Element {
  const [[begin], [, end]] = [times(from), times(to)];
  const newest = useNewest();
  // What is over stays as it is, however often the account is another one: who did it may be told a day later.
  const isPast = end <= new Date(Date.now() - 25 * 3_600_000).toISOString();
  const { value: found, error } = useRead<Between>(`${begin} ${end}`, (_, isOver) => between(begin, end, isOver), isPast ? null : newest);
  if (found === null) return error === null ? <p role="status">Looking…</p> : <Problem error={error} />;
  const people = new Map<string, Gain[]>();
  for (const change of found.changes) people.set(change.principal, [...(people.get(change.principal) ?? []), change]);
  const sorted = [...people].toSorted(([, [one]], [, [other]]) => (one?.person ?? "").localeCompare(other?.person ?? ""));
  return (
    <>
      <Problem error={error} />
      <p role="status">
        {number(people.size)} {people.size === 1 ? "has" : "have"} other access at the end than at the beginning
        {found.passing === 0 ? "" : `; ${number(found.passing)} grants came and went, or went and came back`}.
      </p>
      {found.begins !== null && found.begins > begin ? <p>Changes are noted since <Time at={found.begins} />; of the time before it nothing is known.</p> : null}
      {found.gaps.map((at) => <p key={at}>What changed around <Time at={at} /> could not be found out.</p>)}
      {found.isWhole ? null : <p class="problem">There are more changes than {number(MOST)}: the oldest are left out. Choose a shorter time.</p>}
      {people.size === 0 ? <Empty>Nobody gained or lost anything between these days. Choose others, or take them away for all changes.</Empty> : null}
      <ul class="journal">
        {sorted.map(([principal, changes]) => (
          <li key={principal}>
            <Somebody id={principal} name={changes[0]?.person ?? principal} />
            <ul>
              {changes.map((change) => (
                <li key={change.number}>
                  <Gained change={change} />
                </li>
              ))}
            </ul>
          </li>
        ))}
      </ul>
    </>
  );
}

/** Changes of people and others, each with what is new and what is gone. */
function Changed({ items, dated }: { items: Change[]; dated: boolean }): JSX.Element {
  const titles = useTitles();
  const grant = (change: Change, id: string, sign: string): JSX.Element => {
    const { entitlement } = partsOf(id);
    const told = change.by?.find((each) => each.grant === id);
    return (
      <li key={id}>
        <span class={sign === "+" ? "added" : "removed"}>
          {sign} <a href={linkOf(entitlement)}>{titles.get(entitlement) ?? entitlement}</a>
        </span>{" "}
        {told === undefined ? null : <Author of={told} />}
      </li>
    );
  };
  return (
    <ul class="journal">
      {items.map((change) => (
        <li key={`${change.generation}/${change.key}`} class={change.kind}>
          {dated ? <Time at={change.published_at} /> : null} <Somebody id={change.key} name={change.name} /> {change.kind === "changed" ? "" : change.kind}{" "}
          {change.by?.filter((each) => each.grant === undefined).map((each) => <Author key="own" of={each} />)}
          <ul>
            {change.grants_added.map((id) => grant(change, id, "+"))}
            {change.grants_removed.map((id) => grant(change, id, "−"))}
            {change.fields.map((field) => (
              <li key={field}>{field === "atoms" ? "what policies deny" : field.replaceAll("_", " ")} is another one</li>
            ))}
          </ul>
        </li>
      ))}
    </ul>
  );
}

function BySync({ list }: { list: ReturnType<typeof useMore<Change>> }): JSX.Element {
  const { items, more, error, busy } = list;
  return (
    <>
      <p>What each sync found changed, the newest first.</p>
      <Problem error={error} />
      {items.length === 0 && !busy && error === null ? <Empty>Nothing changed between the generations that are kept. A change shows with the first sync after it.</Empty> : null}
      <Changed items={items} dated />
      <Earlier more={more} busy={busy} />
    </>
  );
}

function BetweenSyncs({ from, to }: { from: string; to: string }): JSX.Element {
  const { items, more, error, busy } = useMore<Change>(`/v1/changes?limit=200&from=${from}&to=${to}`);
  return (
    <>
      <p role="status">
        {items.length === 0 && error !== null ? "" : busy && items.length === 0 ? "Looking…" : `${number(items.length)}${more === null ? "" : " and more"} ${items.length === 1 && more === null ? "is" : "are"} otherwise after the later sync than after the earlier one.`}
      </p>
      <Problem error={error} />
      {items.length === 0 && !busy && error === null ? <Empty>Nothing is otherwise: what changed between these syncs is back as it was.</Empty> : null}
      <Changed items={items} dated={false} />
      {more === null ? null : <button type="button" disabled={busy} onClick={more}>More</button>}
    </>
  );
}

/** The syncs that there are to choose from, the newest first: those that the status remembers, and those whose changes were read. */
function useSyncs(changes: Change[]): [string, string][] {
  const { value } = useAsked<Status>("/v1/status", useNewest());
  const of = new Map(value?.generations.map(({ generation, published_at }) => [generation, published_at]));
  for (const { generation, published_at } of changes) of.set(generation, published_at);
  return [...of].toSorted(([one], [other]) => (one < other ? 1 : -1));
}

function Sync({ title, syncs, value, onChoose }: { title: string; syncs: [string, string][]; value: string; onChoose: (generation: string) => void }): JSX.Element {
  return (
    <label>
      {title}{" "}
      <select value={value} onChange={(event) => onChoose(event.currentTarget.value)}>
        <option value="">any</option>
        {syncs.map(([generation, at]) => <option key={generation} value={generation}>{local(at)}</option>)}
      </select>
    </label>
  );
}

export function Changes(): JSX.Element {
  const [days, setDays] = useState<[string, string]>(["", ""]);
  const [pair, setPair] = useState<[string, string]>(["", ""]);
  const list = useMore<Change>("/v1/changes?limit=200", useNewest());
  const syncs = useSyncs(list.items);
  const day = /^\d{4}-\d\d-\d\d$/;
  const [from, to] = days;
  const [earlier, later] = pair;
  // One way to ask puts the other one away.
  const between = (from: string, to: string): void => (setDays([from, to]), setPair(["", ""]));
  const compare = (earlier: string, later: string): void => (setPair([earlier, later]), setDays(["", ""]));
  return (
    <>
      <h1>Changes</h1>
      <div class="tools">
        <label>
          From the beginning of <input type="date" value={from} max={to} onInput={(event) => between(event.currentTarget.value, to)} />
        </label>
        <label>
          to the end of <input type="date" value={to} min={from} onInput={(event) => between(from, event.currentTarget.value)} />
        </label>
        {syncs.length < 2 ? null : (
          <>
            <Sync title="Or from the sync of" syncs={syncs} value={earlier} onChoose={(chosen) => compare(chosen, later)} />
            <Sync title="to that of" syncs={syncs} value={later} onChoose={(chosen) => compare(earlier, chosen)} />
          </>
        )}
        {[...days, ...pair].every((each) => each === "") ? null : <button type="button" onClick={() => between("", "")}>All changes</button>}
      </div>
      {earlier !== "" && later !== "" ? (
        earlier >= later ? <Problem error="The first sync has to be before the last." /> : <BetweenSyncs from={earlier} to={later} />
      ) : !day.test(from) || !day.test(to) ? (
        <BySync list={list} />
      ) : from > to ? (
        <Problem error="The first day has to be before the last." />
      ) : (
        <BetweenDays from={from} to={to} />
      )}
    </>
  );
}
