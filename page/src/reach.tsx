// What a scoped role reaches, and who can do what on one of those things.
import type { JSX } from "preact";
import { useEffect, useMemo } from "preact/hooks";
import { joined, linkOf, routeOf, Source, useAsked, useLacks, useList, useNewest, viewOf } from "./account.js";
import { Lacking, Problem, Table, number, type Column } from "./parts.js";
import type { Access, Reach, Role } from "./types.js";

/** Everything that a scoped role reaches, each with the way to who else reaches it. */
export function Reaches({ role }: { role: Role }): JSX.Element | null {
  const { value: found, error } = useAsked<Reach>(routeOf(role.entitlement_id), useNewest());
  if (error !== null) return <Problem error={error} />;
  if (found === null || found.scope.length === 0) return null;
  return (
    <>
      <h2>What it reaches</h2>
      <ul class="reaches">
        {found.scope.map(({ key, told }) => (
          <li key={key}>
            <a href={`#/resources/${encodeURIComponent(key)}`}>
              <bdi>{told}</bdi>
            </a>
          </li>
        ))}
        {found.unlisted === 0 ? null : <li>and {number(found.unlisted)} more</li>}
      </ul>
    </>
  );
}

const WAYS: Record<Access["reach"], string> = { object: "on this", every: "on every one of its kind", account: "on the whole account", perhaps: "perhaps: not all that it reaches is listed" };

/** A token's policy, a denial and what is not known are no entitlement, and have no view. */
function RoleOf({ row }: { row: Access }): JSX.Element {
  const role = <bdi>{row.role}</bdi>;
  return row.entitlement_id === "" ? role : <a href={linkOf(row.entitlement_id)}>{role}</a>;
}

const COLUMNS: Column<Access>[] = [
  { title: "Who", text: (row) => (row.principal_type === "api_token" ? `API token ${row.display_name}` : row.email), width: 6 },
  { title: "Role", text: (row) => row.role, show: (row) => <RoleOf row={row} />, width: 6 },
  { title: "Reach", text: (row) => WAYS[row.reach], width: 4 },
  { title: "By what way", text: (row) => (row.group_name === "" ? "directly" : `through ${row.group_name}`), width: 4 },
];

const FILTERS: Record<string, (row: Access) => boolean> = {
  "On this alone": (row) => row.reach === "object",
  "Through a group": (row) => row.group_name !== "",
};

export function OneResource({ id }: { id: string }): JSX.Element {
  const source = useMemo(() => new Source<Access>([`resources/${encodeURIComponent(id)}/access`]), [id]);
  useEffect(() => () => source.stop(), [source]);
  const list = useList(source);
  const lacks = useLacks();
  return (
    <>
      <p>
        <a href="#/roles">Roles and scopes</a>
      </p>
      <h1>Who can do what</h1>
      <p>
        On <code>{id}</code>. A role on the whole account is listed whether or not it has to do with things of this kind: Cloudflare does not tell.
      </p>
      <Lacking why={lacks.all} />
      <Table
        name="access"
        columns={COLUMNS}
        list={joined(list.items, list, lacks.told)}
        rowKey={(row) => `${row.principal_id}/${row.entitlement_id}/${row.group_id}/${row.role}/${row.reach}`}
        href={(row) => viewOf(`${row.principal_type}:${row.principal_id}`)}
        filters={FILTERS}
        empty="Nobody reaches it, by any role, group or token that this connector may read. Now says what is off."
      />
    </>
  );
}
