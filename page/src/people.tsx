// People, and one person: what they hold and by what way, what was done for them, and what may be changed.
import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { groups, isCurrent, joined, linkOf, nameOf, open, people, refresh, roles, routeOf, tokens, useAsked, useLacks, useList, useNewest, useTitles, type Lacks, type List } from "./account.js";
import { ask, Refused, type Session } from "./api.js";
import { History } from "./changes.js";
import { Operations } from "./operations.js";
import { Caution, Confirm, Day, Empty, Lacking, Name, Problem, ReadingOn, Table, Time, counted, type Column } from "./parts.js";
import { tokenLink } from "./tokens.js";
import type { Group, Person, Role } from "./types.js";
import { useThought, type Wish } from "./whatif.js";

/** Whether there is a second factor, as far as Cloudflare tells. */
export function secondFactor(row: Person): string {
  return row.two_factor === null ? "not known" : row.two_factor ? "yes" : "no";
}

const columns = (lacks: Lacks): Column<Person>[] => [
  { title: "E-mail address", text: (row) => row.email, width: 7 },
  { title: "Name", text: (row) => row.display_name, width: 5 },
  { title: "Status", text: (row) => (row.status === "pending" ? "invited" : row.status), width: 2 },
  { title: "Second factor", text: secondFactor, width: 3 },
  { title: "Holds", text: (row) => counted(row.entitlements.length, lacks.told.complete, lacks.ofPerson(row).length > 0), width: 2, numeric: true },
];

const filters = (lacks: Lacks): Record<string, (row: Person) => boolean> => ({
  "Without a second factor": (row) => row.resource_type === "user" && row.two_factor === false,
  "Invited": (row) => row.status === "pending",
  "Holding nothing": (row) => row.entitlements.length === 0 && lacks.told.complete && lacks.ofPerson(row).length === 0,
});

export function personKey(row: Person): string {
  return `${row.resource_type}:${row.id}`;
}

export function People({ session }: { session: Session }): JSX.Element {
  const list = useList(people);
  const lacks = useLacks();
  const shown = useMemo(() => ({ columns: columns(lacks), filters: filters(lacks) }), [lacks]);
  const [inviting, setInviting] = useState(false);
  const [lost, setLost] = useState<unknown>(null);
  return (
    <>
      <h1>People</h1>
      {session.right === "full" ? (
        <p class="buttons">
          <button type="button" onClick={() => (setLost(null), setInviting(true))}>Invite…</button>
        </p>
      ) : null}
      <Problem error={lost} />
      <Lacking why={lacks.all} />
      <Table name="people" columns={shown.columns} list={joined(list.items, list, lacks.told)} rowKey={personKey} href={(row) => `#/people/${encodeURIComponent(personKey(row))}`} filters={shown.filters} empty="Nobody is known yet: run the first sync in Now." />
      {inviting ? <Invite session={session} onLost={setLost} onClose={() => setInviting(false)} /> : null}
    </>
  );
}

function Invite({ session, onLost, onClose }: { session: Session; onLost: (error: unknown) => void; onClose: () => void }): JSX.Element {
  const [email, setEmail] = useState("");
  /** The address once it is typed to its end. */
  const [whole, setWhole] = useState("");
  const typed = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const end = setTimeout(() => setWhole(typed.current?.validity.valid === true ? email.trim() : ""), 500);
    return () => clearTimeout(end);
  }, [email]);
  const { ready, thought, check } = useThought(whole === "" || whole !== email.trim() ? null : { principal: whole, action: "grant", entitlement: "account" });
  const invite = async (): Promise<string> => (await ask<{ message: string }>("POST", "/v1/accounts", { email }).finally(refresh)).message;
  return (
    <Confirm title="Invite somebody" act="Invite" ready={ready} check={check} onAct={invite} session={session} onLost={onLost} onClose={onClose}>
      <label>
        E-mail address
        <input ref={typed} type="email" required value={email} onInput={(event) => setEmail(event.currentTarget.value)} />
      </label>
      {thought}
      <p>Cloudflare sends the invitation, with the default role of this connector.</p>
    </Confirm>
  );
}

type Ask = { what: "revoke"; entitlement: string } | { what: "grant" } | { what: "remove" };

export function OnePerson({ id, session }: { id: string; session: Session }): JSX.Element {
  const list = useList(people);
  const titles = useTitles();
  const known = useList(roles);
  const all = useList(groups);
  const keys = useList(tokens);
  const found = useList(open);
  const lacks = useLacks();
  const [asked, setAsked] = useState<Ask | null>(null);
  const [lost, setLost] = useState<unknown>(null);
  const [turn, setTurn] = useState(0);
  const latest = `${turn}/${useNewest()}`;
  const [kind, key] = [id.slice(0, id.indexOf(":")), id.slice(id.indexOf(":") + 1)];
  const { value: fresh, error } = useAsked<Person>(`/v1/${kind === "invitation" ? "invitations" : "users"}/${encodeURIComponent(key)}`, latest);
  // Who is gone from the account is on the list until that is read again.
  if (error instanceof Refused && error.status === 404 && asked === null) return <Empty>Nobody of that id is in the account as it was last read: they left, or are newer than that.</Empty>;
  const person = fresh !== null && personKey(fresh) === id ? fresh : list.items.find((row) => personKey(row) === id);
  if (person === undefined) return error === null ? <p role="status">Looking…</p> : <Problem error={error} />;
  const made = keys.items.filter((token) => token.creator_id === id);
  const wrong = found.items.filter(({ about }) => about === id);
  const unread = lacks.ofPerson(person);
  const held = new Set(person.entitlements);
  const through = all.items.filter((group) => held.has(group.entitlement_id));
  /** Reads again what is shown, whatever became of a change. */
  const again = (): void => {
    setTurn((n) => n + 1);
    refresh();
  };
  const close = (): void => {
    setAsked(null);
    again();
  };
  /** What went wrong before is over once something else is asked for. */
  const want = (what: Ask): void => {
    setLost(null);
    setAsked(what);
  };
  const may = session.right === "full";
  return (
    <>
      <p>
        <a href="#/people">People</a>
      </p>
      <h1>
        <bdi>{person.display_name || person.email}</bdi>
      </h1>
      <dl class="facts">
        <dt>E-mail address</dt>
        <dd>
          <bdi>{person.email}</bdi>
        </dd>
        <dt>Status</dt>
        <dd>{person.status === "pending" ? "invited, not accepted yet" : person.status}</dd>
        <dt>Second factor</dt>
        <dd>{secondFactor(person)}</dd>
        {person.last_login ? (
          <>
            <dt>Last login</dt>
            <dd><Day at={person.last_login} /></dd>
          </>
        ) : null}
        {person.last_change_at ? (
          <>
            <dt>Last change made</dt>
            <dd>
              <Day at={person.last_change_at} />
              {person.last_change_from ? <>, from <bdi>{person.last_change_from}</bdi></> : null}
              {person.products_changed === undefined || person.products_changed.length === 0 ? null : <>; in 90 days: {person.products_changed.join(", ")}</>}
            </dd>
          </>
        ) : null}
        <dt>Membership</dt>
        <dd>
          <code>{person.member_id}</code>
        </dd>
      </dl>
      <Problem error={error} />
      <Problem error={lost} />
      <ReadingOn of={joined([], all, keys, found, lacks.told)} />
      <h2>Holds</h2>
      <Lacking why={unread} />
      {person.entitlements.length === 0 && through.length === 0 && isCurrent(all) && lacks.told.complete ? <Empty>{unread.length === 0 ? "Nothing." : "None that could be read."}</Empty> : null}
      <ul class="grants">
        {person.entitlements.map((entitlement) => (
          <li key={entitlement}>
            <a href={linkOf(entitlement)}>{titles.get(entitlement) ?? entitlement}</a>
            {may ? (
              <button type="button" class="small" aria-label={`Revoke ${titles.get(entitlement) ?? entitlement}`} onClick={() => want({ what: "revoke", entitlement })}>
                Revoke…
              </button>
            ) : null}
          </li>
        ))}
        {through.flatMap((group) =>
          group.entitlements.map((entitlement) => (
            <li key={`${group.id}/${entitlement}`} class="indirect">
              <a href={linkOf(entitlement)}>{titles.get(entitlement) ?? entitlement}</a>
              <span>
                through <a href={linkOf(group.entitlement_id)}>{group.name}</a>
              </span>
            </li>
          )),
        )}
      </ul>
      {may ? (
        <p class="buttons">
          <button type="button" onClick={() => want({ what: "grant" })}>Grant…</button>
          <button type="button" class="danger" onClick={() => want({ what: "remove" })}>
            {person.resource_type === "invitation" ? "Cancel the invitation…" : "Remove from the account…"}
          </button>
        </p>
      ) : null}
      {made.length === 0 ? null : (
        <>
          <h2>API tokens they made</h2>
          <ul class="grants">
            {made.map((token) => (
              <li key={token.id}>
                <a href={tokenLink(token)}><bdi>{token.name}</bdi></a>
                <span>{token.status}, {token.last_used_on === null ? "never used" : <>last used <Day at={token.last_used_on} /></>}</span>
              </li>
            ))}
          </ul>
        </>
      )}
      {wrong.length === 0 ? null : (
        <>
          <h2>Findings</h2>
          <ul class="journal">
            {wrong.map((finding) => (
              <li key={finding.id}>
                <strong>{finding.severity}</strong>: {finding.title}. {finding.evidence}, since <Time at={finding.since} />. {finding.remedy}
              </li>
            ))}
          </ul>
        </>
      )}
      <h2>Gained and lost</h2>
      <History principal={id} turn={latest} />
      <h2>What was asked of the connector</h2>
      <Operations filter={`member=${encodeURIComponent(person.member_id)}`} turn={latest} />
      {asked === null ? null : (
        <Change
          ask={asked}
          person={person}
          roles={known}
          groups={joined(all.items, all, lacks.told)}
          titles={titles}
          held={held}
          through={through.map((group) => group.entitlements).flat()}
          unread={unread}
          session={session}
          onLost={setLost}
          onLate={again}
          onClose={close}
        />
      )}
    </>
  );
}

function Change(props: {
  ask: Ask;
  person: Person;
  roles: List<Role>;
  /** Joined with what the Worker could not read of them. */
  groups: List<Group>;
  titles: Map<string, string>;
  held: Set<string>;
  through: string[];
  /** Why it is not all known what they hold. */
  unread: string[];
  session: Session;
  onLost: (error: unknown) => void;
  /** Called once there is an answer, or will be none, where it was closed before. */
  onLate: () => void;
  onClose: () => void;
}): JSX.Element {
  const { ask: asked, person, titles } = props;
  const [wanted, setWanted] = useState("");
  const who = person.email;
  const principal = personKey(person);
  const wish: Wish | null =
    asked.what === "remove"
      ? { principal, action: "revoke", entitlement: "account" }
      : asked.what === "revoke"
        ? { principal, action: "revoke", entitlement: asked.entitlement }
        : wanted === ""
          ? null
          : { principal, action: "grant", entitlement: wanted };
  const { ready: isThought, thought, told, check } = useThought(wish);
  // What somebody has through a group is known, or why it is not.
  const ready = isThought && (props.groups.complete || props.groups.error !== null);
  const left = useRef(false);
  useEffect(() => () => void (left.current = true), []);
  const late = (): void => {
    if (left.current) props.onLate();
  };
  const send = async (method: string, path: string): Promise<string> => (await ask<{ message: string }>(method, path).finally(late)).message;
  if (asked.what === "remove") {
    const what = person.resource_type === "invitation" ? `Cancel the invitation of ${who}` : `Remove ${who} from the account`;
    return (
      <Confirm title={what} act={person.resource_type === "invitation" ? "Cancel the invitation" : "Remove"} danger ready={isThought} check={check} onAct={() => send("DELETE", `/v1/accounts/${encodeURIComponent(nameOf(person))}`)} session={props.session} onLost={props.onLost} onClose={props.onClose}>
        {thought}
      </Confirm>
    );
  }
  if (asked.what === "revoke") {
    const title = titles.get(asked.entitlement) ?? asked.entitlement;
    const stays = props.through.includes(asked.entitlement);
    return (
      <Confirm title={`Revoke ${title}`} act="Revoke" danger ready={ready} check={check} onAct={() => send("DELETE", `${routeOf(asked.entitlement)}/members/${encodeURIComponent(nameOf(person))}`)} session={props.session} onLost={props.onLost} onClose={props.onClose}>
        <p>
          <Name of={who} /> loses {title}{told === null || told.removes_member ? "" : " and keeps everything else"}.
        </p>
        {stays ? <Caution>They have it through a group as well, and keep it that way.</Caution> : <ReadingOn of={props.groups} />}
        <Lacking why={props.unread} />
        {thought}
      </Confirm>
    );
  }
  const offered = [...props.roles.items.filter((role) => role.grantable !== false), ...props.groups.items.map((group) => ({ ...group, name: `${group.name} (group)` }))];
  const choices = offered.filter((each) => !props.held.has(each.entitlement_id)).toSorted((one, other) => one.name.localeCompare(other.name));
  return (
    <Confirm
      title={`Grant to ${who}`}
      act="Grant"
      ready={ready}
      check={check}
      onAct={() => send("PUT", `${routeOf(wanted)}/members/${encodeURIComponent(nameOf(person))}`)}
      session={props.session}
      onLost={props.onLost}
      onClose={props.onClose}
    >
      <label>
        Role or group
        <select value={wanted} onChange={(event) => setWanted(event.currentTarget.value)}>
          <option value="">–</option>
          {choices.map((each) => (
            <option key={each.entitlement_id} value={each.entitlement_id}>
              {each.name}
            </option>
          ))}
        </select>
      </label>
      <ReadingOn of={joined([], props.roles, props.groups)} />
      {wanted !== "" && props.through.includes(wanted) ? <Caution>They have it through a group already.</Caution> : null}
      {thought}
      <p>Cloudflare is asked at once, through every guard of this connector, and the journal keeps it.</p>
    </Confirm>
  );
}
