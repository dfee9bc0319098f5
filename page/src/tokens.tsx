// The account's API tokens, and one of them: who made it, what it may do, and from where.
import type { JSX } from "preact";
import { tokens, useAsked, useList, useNewest } from "./account.js";
import { Day, Name, Problem, Table, Time, number, type Column } from "./parts.js";
import type { Token } from "./types.js";

const COLUMNS: Column<Token>[] = [
  { title: "Name", text: (row) => row.name, width: 6 },
  { title: "Status", text: (row) => row.status, width: 2 },
  { title: "Made by", text: (row) => row.creator_email, width: 5 },
  { title: "Made", text: (row) => row.issued_on ?? "", show: (row) => <Time at={row.issued_on} />, width: 4 },
  { title: "Last used", text: (row) => row.last_used_on ?? "", show: (row) => <Used of={row} />, width: 4 },
  { title: "Ends", text: (row) => row.expires_on ?? "", show: (row) => <Ends of={row} />, width: 4 },
];

/** Nothing where Cloudflare tells a field of the token in a form that cannot be read is not none. */
const without = (row: Token, field: string): string | null => (row.unreadable.includes(field) ? "cannot be read" : null);

function Ends({ of }: { of: Token }): JSX.Element {
  return of.expires_on === null ? <>{without(of, "expires_on") ?? "never"}</> : <Time at={of.expires_on} />;
}

function Used({ of }: { of: Token }): JSX.Element {
  return of.last_used_on === null ? <>{without(of, "last_used_on") ?? "never"}</> : <Day at={of.last_used_on} />;
}

const DAYS_90 = 90 * 86_400_000;

const FILTERS: Record<string, (row: Token) => boolean> = {
  "Without an end": (row) => row.expires_on === null && without(row, "expires_on") === null,
  "Not used for 90 days": (row) => row.last_used_on !== null && new Date(row.last_used_on).getTime() < Date.now() - DAYS_90,
  "Never used": (row) => row.last_used_on === null && without(row, "last_used_on") === null,
  "Made by somebody who left": (row) => row.creator === "left",
};

export function tokenLink(token: Token): string {
  return `#/tokens/${token.id}`;
}

export function Tokens(): JSX.Element {
  const list = useList(tokens);
  return (
    <>
      <h1>Tokens</h1>
      <Table name="tokens" columns={COLUMNS} list={list} rowKey={(row) => row.id} href={tokenLink} filters={FILTERS} empty="The account has no API tokens of its own, or the token may not read them: Now says which, and which permission turns the list on." />
    </>
  );
}

const CREATORS: Record<Token["creator"], string> = { unknown: "not known", left: "who is no member any more", invited: "who is invited", member: "" };

export function OneToken({ id }: { id: string }): JSX.Element {
  const list = useList(tokens);
  const { value: whole, error } = useAsked<Token>(`/v1/tokens/${encodeURIComponent(id)}`, useNewest());
  const token = whole ?? list.items.find((row) => row.id === id);
  if (token === undefined) return error === null ? <p role="status">Looking…</p> : <Problem error={error} />;
  const creator = `${token.creator_email} ${CREATORS[token.creator]}`.trim();
  return (
    <>
      <p>
        <a href="#/tokens">Tokens</a>
      </p>
      <h1>
        <bdi>{token.name}</bdi>
      </h1>
      {token.is_connector ? <p>The connector calls Cloudflare with it.</p> : null}
      <Problem error={error} />
      <dl class="facts">
        <dt>Status</dt>
        <dd>{token.status}</dd>
        <dt>Made by</dt>
        <dd>{/^(user|invitation):/.test(token.creator_id) ? <a href={`#/people/${encodeURIComponent(token.creator_id)}`}><Name of={creator} /></a> : <Name of={creator} />}</dd>
        <dt>Made</dt>
        <dd><Time at={token.issued_on} /></dd>
        <dt>Last used</dt>
        <dd><Used of={token} /></dd>
        <dt>Ends</dt>
        <dd><Ends of={token} /></dd>
        <dt>Used from</dt>
        <dd>{token.allowed_from.join(", ") || (without(token, "condition.request_ip") ?? "anywhere")}{token.refused_from.length === 0 ? "" : `, but not ${token.refused_from.join(", ")}`}</dd>
        <dt>Id</dt>
        <dd><code>{token.id}</code></dd>
      </dl>
      <h2>What it may do</h2>
      {whole === null && error === null ? <p role="status">Looking…</p> : null}
      <ul class="journal">
        {(token.policies ?? []).map((policy, n) => (
          // Two of them may be told alike.
          <li key={n}>
            <bdi>{policy.told}</bdi>
            {policy.scope.length === 0 ? null : (
              <ul class="reaches">
                {policy.scope.map(({ key, told }) => (
                  <li key={key}>
                    <a href={`#/resources/${encodeURIComponent(key)}`}><bdi>{told}</bdi></a>
                  </li>
                ))}
              </ul>
            )}
          </li>
        ))}
        {token.unlisted === undefined || token.unlisted === 0 ? null : <li>and {number(token.unlisted)} more</li>}
      </ul>
    </>
  );
}
