// Roles and scoped roles, groups, and the matrix of who holds what.
import type { JSX } from "preact";
import { useMemo, useRef, useState } from "preact/hooks";
import { groups, isCurrent, joined, linkOf, people, roles, useLacks, useList, useTitles, type Lacks, type List } from "./account.js";
import { personKey, secondFactor } from "./people.js";
import { Empty, Lacking, Problem, Table, Time, Unlisted, counted, number, readingOn, type Column } from "./parts.js";
import { Reaches } from "./reach.js";
import type { Group, Person, Role } from "./types.js";

interface CountedRole extends Role {
  holders: number;
  through: number;
  /** Whether everybody was counted, in every group, and whether some could not be. */
  isWhole: boolean;
  isLacking: boolean;
}

/** How many hold each entitlement, directly and through a group, how far the lists are that this is counted from, and what they lack. */
function useHolders(): { direct: Map<string, number>; through: Map<string, number>; from: List<never>; lacks: Lacks } {
  const lacks = useLacks();
  const everybody = useList(people);
  const all = useList(groups);
  const counts = useMemo(() => {
    const direct = new Map<string, number>();
    const through = new Map<string, number>();
    const more = (counts: Map<string, number>, key: string): void => void counts.set(key, (counts.get(key) ?? 0) + 1);
    const of = new Map(all.items.map((group) => [group.entitlement_id, group.entitlements]));
    for (const person of everybody.items) {
      const indirect = new Set<string>();
      for (const held of person.entitlements) {
        more(direct, held);
        for (const inner of of.get(held) ?? []) indirect.add(inner);
      }
      for (const inner of indirect) more(through, inner);
    }
    return { direct, through };
  }, [everybody.items, all.items]);
  return { ...counts, from: joined([], everybody, all, lacks.told), lacks };
}

const ROLE_COLUMNS: Column<CountedRole>[] = [
  { title: "Name", text: (row) => row.name, width: 8 },
  { title: "Kind", text: (row) => (row.resource_type === "scoped_role" ? "on a scope" : row.grantable === false ? "cannot be granted" : "whole account"), width: 3 },
  { title: "Reaches", text: (row) => row.reach ?? "the whole account", width: 5 },
  { title: "Holders", text: (row) => counted(row.holders, row.isWhole, row.isLacking), width: 2, numeric: true },
  { title: "Through groups", text: (row) => counted(row.through, row.isWhole, row.isLacking), width: 3, numeric: true },
];

export function Roles(): JSX.Element {
  const list = useList(roles);
  const { direct, through, from, lacks } = useHolders();
  const [isWhole, isLacking] = [isCurrent(from), lacks.all.length > 0];
  const items = useMemo(() => list.items.map((role) => ({ ...role, holders: direct.get(role.entitlement_id) ?? 0, through: through.get(role.entitlement_id) ?? 0, isWhole, isLacking })), [list.items, direct, through, isWhole, isLacking]);
  return (
    <>
      <h1>Roles and scopes</h1>
      <Lacking why={lacks.all} />
      <Table name="roles" columns={ROLE_COLUMNS} list={joined(items, list, from)} rowKey={(row) => row.entitlement_id} href={(row) => linkOf(row.entitlement_id)} filters={{ "Held by somebody": (row) => row.holders + row.through > 0, "On a scope": (row) => row.resource_type === "scoped_role" }} empty="No roles are known yet: run the first sync in Now." />
    </>
  );
}

const HOLDER_COLUMNS: Column<Person & { way: string }>[] = [
  { title: "E-mail address", text: (row) => row.email, width: 7 },
  { title: "Name", text: (row) => row.display_name, width: 5 },
  { title: "By what way", text: (row) => row.way, width: 5 },
  { title: "Second factor", text: secondFactor, width: 3 },
];

/** Who holds an entitlement, directly or through a group. */
function Holders({ entitlement, lacks }: { entitlement: string; lacks: Lacks }): JSX.Element {
  const everybody = useList(people);
  const all = useList(groups);
  const items = useMemo(() => {
    const giving = new Map(all.items.filter((group) => group.entitlements.includes(entitlement)).map((group) => [group.entitlement_id, group.name]));
    return everybody.items.flatMap((person) => {
      const ways = person.entitlements.flatMap((held) => (held === entitlement ? ["directly"] : giving.has(held) ? [`through ${giving.get(held)}`] : []));
      return ways.length === 0 ? [] : [{ ...person, way: ways.join(" and ") }];
    });
  }, [everybody.items, all.items, entitlement]);
  const list = joined(items, everybody, all, lacks.told);
  return (
    <Table
      name="holders"
      columns={HOLDER_COLUMNS}
      list={list}
      rowKey={personKey}
      href={(row) => `#/people/${encodeURIComponent(personKey(row))}`}
      empty={<>{lacks.all.length === 0 ? "Nobody holds it" : "None that could be read"}, directly or through a group, as read at <Time at={list.at} />. Somebody's own page grants it.</>}
    />
  );
}

export function OneRole({ id }: { id: string }): JSX.Element {
  const list = useList(roles);
  const lacks = useLacks();
  const role = list.items.find((row) => row.entitlement_id === `${id}:member`);
  if (role === undefined) return <Unlisted what="roles" list={list} />;
  return (
    <>
      <p>
        <a href="#/roles">Roles and scopes</a>
      </p>
      <h1>
        <bdi>{role.name}</bdi>
      </h1>
      <dl class="facts">
        {role.description === undefined ? null : (
          <>
            <dt>What it is</dt>
            <dd>{role.description}</dd>
          </>
        )}
        {role.resource_group_name === undefined ? null : (
          <>
            <dt>Scope</dt>
            <dd>
              <bdi>{role.resource_group_name}</bdi>
            </dd>
          </>
        )}
        <dt>Id</dt>
        <dd>
          <code>{role.id}</code>
        </dd>
      </dl>
      {role.resource_type === "scoped_role" ? <Reaches role={role} /> : null}
      <h2>Who holds it</h2>
      <Lacking why={lacks.all} />
      <Holders entitlement={role.entitlement_id} lacks={lacks} />
    </>
  );
}

interface CountedGroup extends Group {
  members: number;
  /** Whether everybody was counted, and whether some could not be. */
  isWhole: boolean;
  isLacking: boolean;
  /** Whether it was without members when everything was last of one state, and that is read again: it stays in sight until then. */
  wasEmpty: boolean;
  /** Whether it is known what could not be read, and whether that is some of what the group gives. */
  isTold: boolean;
  givesMore: boolean;
}

const GROUP_COLUMNS: Column<CountedGroup>[] = [
  { title: "Name", text: (row) => row.name, width: 8 },
  { title: "Members", text: (row) => counted(row.members, row.isWhole, row.isLacking), width: 2, numeric: true },
  { title: "Gives", text: (row) => counted(row.entitlements.length, row.isTold, row.givesMore), width: 2, numeric: true },
];

const GROUP_FILTERS: Record<string, (row: CountedGroup) => boolean> = {
  "Without members": (row) => (row.isWhole || row.wasEmpty) && !row.isLacking && row.members === 0,
  "Giving nothing": (row) => row.isTold && !row.givesMore && row.entitlements.length === 0,
};

export function Groups(): JSX.Element {
  const list = useList(groups);
  const { direct, from, lacks } = useHolders();
  const [isWhole, isLacking] = [isCurrent(from), lacks.all.length > 0];
  const { complete } = from;
  const empty = useRef(new Set<string>());
  const items = useMemo(() => {
    const membersOf = ({ entitlement_id }: Group): number => direct.get(entitlement_id) ?? 0;
    if (isWhole) empty.current = new Set(list.items.filter((group) => membersOf(group) === 0).map(({ id }) => id));
    return list.items.map((group) => ({ ...group, members: membersOf(group), isWhole, isLacking, wasEmpty: complete && empty.current.has(group.id), isTold: lacks.told.complete, givesMore: lacks.ofGroup(group).length > 0 }));
  }, [list.items, direct, isWhole, complete, isLacking, lacks]);
  return (
    <>
      <h1>Groups</h1>
      <Lacking why={lacks.all} />
      <Table name="groups" columns={GROUP_COLUMNS} list={joined(items, list, from)} rowKey={(row) => row.id} href={(row) => linkOf(row.entitlement_id)} filters={GROUP_FILTERS} empty="The account has no user groups, or the token may not read them; the first page says which." />
    </>
  );
}

export function OneGroup({ id }: { id: string }): JSX.Element {
  const list = useList(groups);
  const titles = useTitles();
  const lacks = useLacks();
  const group = list.items.find((row) => row.entitlement_id === `${id}:member`);
  if (group === undefined) return <Unlisted what="groups" list={list} />;
  return (
    <>
      <p>
        <a href="#/groups">Groups</a>
      </p>
      <h1>
        <bdi>{group.name}</bdi>
      </h1>
      <Lacking why={lacks.all} />
      <h2>Gives</h2>
      {group.entitlements.length === 0 && lacks.told.complete ? <Empty>{lacks.ofGroup(group).length === 0 ? "Nothing." : "None that could be read."}</Empty> : null}
      <ul class="grants">
        {group.entitlements.map((entitlement) => (
          <li key={entitlement}>
            <a href={linkOf(entitlement)}>{titles.get(entitlement) ?? entitlement}</a>
          </li>
        ))}
      </ul>
      <h2>Members</h2>
      <Holders entitlement={group.entitlement_id} lacks={lacks} />
    </>
  );
}

/** Roles that somebody holds, against the people who hold one of them. */
const MOST_ROLES = 40;
const MOST_PEOPLE = 200;

export function Matrix(): JSX.Element {
  const list = useList(people);
  const titles = useTitles();
  const all = useList(groups);
  const { direct, through, from: read, lacks } = useHolders();
  const [search, setSearch] = useState("");
  const [from, setFrom] = useState(0);
  const [first, setFirst] = useState(0);
  const of = useMemo(() => new Map(all.items.map((group) => [group.entitlement_id, group])), [all.items]);
  const wanted = search.toLowerCase().trim();
  const known = useMemo(() => {
    const count = (id: string): number => (direct.get(id) ?? 0) + (through.get(id) ?? 0);
    return [...new Set([...direct.keys(), ...through.keys()])].filter((id) => !id.startsWith("group:")).sort((one, other) => count(other) - count(one));
  }, [direct, through]);
  const columns = known.slice(first, first + MOST_ROLES);
  const rows = useMemo(() => list.items.filter((person) => person.entitlements.length > 0 && (wanted === "" || `${person.email} ${person.display_name}`.toLowerCase().includes(wanted))).sort((one, other) => one.email.localeCompare(other.email)), [list.items, wanted]);
  const shown = rows.slice(from, from + MOST_PEOPLE);
  const way = (person: Person, entitlement: string): string => {
    if (person.entitlements.includes(entitlement)) return "held";
    const group = person.entitlements.map((held) => of.get(held)).find((found) => found?.entitlements.includes(entitlement));
    return group === undefined ? "" : `through ${group.name}`;
  };
  return (
    <>
      <h1>Matrix</h1>
      <p>
        {known.length <= MOST_ROLES ? `The ${number(known.length)} roles that somebody holds` : `Of ${number(known.length)} roles that somebody holds, those that most people hold come first: ${number(first + 1)} to ${number(first + columns.length)}`}. ● held directly, ○ through a group.
        {known.length <= MOST_ROLES ? null : (
          <>
            {" "}
            <button type="button" class="small" disabled={first === 0} onClick={() => setFirst(Math.max(0, first - MOST_ROLES))}>Roles before</button>{" "}
            <button type="button" class="small" disabled={first + MOST_ROLES >= known.length} onClick={() => setFirst(first + MOST_ROLES)}>Roles after</button>
          </>
        )}
      </p>
      <div class="tools">
        <label>
          <span class="hidden">Search people</span>
          <input type="search" placeholder="Search people" value={search} onInput={(event) => (setFrom(0), setSearch(event.currentTarget.value))} />
        </label>
        <span class="count" role="status">
          {number(rows.length)} people{rows.length > MOST_PEOPLE ? `, ${number(from + 1)} to ${number(Math.min(rows.length, from + MOST_PEOPLE))}` : ""}
          {readingOn(read)}
        </span>
        <button type="button" disabled={from === 0} onClick={() => setFrom(Math.max(0, from - MOST_PEOPLE))}>Earlier</button>
        <button type="button" disabled={from + MOST_PEOPLE >= rows.length} onClick={() => setFrom(from + MOST_PEOPLE)}>Later</button>
      </div>
      <Problem error={read.error} />
      <Lacking why={lacks.all} />
      {rows.length === 0 && isCurrent(read) ? <Empty>{wanted === "" ? (lacks.all.length === 0 ? "Nobody holds anything that is known: run the first sync in Now." : "None that could be read.") : "Nobody matches; take the search away."}</Empty> : null}
      <div class="matrix" tabIndex={0} role="region" aria-label="Who holds what">
        <table>
          <thead>
            <tr>
              <th scope="col">Person</th>
              {columns.map((id) => (
                <th scope="col" key={id}>
                  <a href={linkOf(id)}>{titles.get(id) ?? id}</a>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.map((person) => (
              <tr key={personKey(person)}>
                <th scope="row">
                  <a href={`#/people/${encodeURIComponent(personKey(person))}`}>{person.email}</a>
                </th>
                {columns.map((id) => {
                  const held = way(person, id);
                  return (
                    <td key={id} title={held}>
                      {held === "" ? null : <span role="img" aria-label={held}>{held === "held" ? "●" : "○"}</span>}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}
