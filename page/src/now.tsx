// How things stand: the sync, the account in numbers, and what wants somebody's attention.
import type { JSX } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";
import { useAsked } from "./account.js";
import { ask, download, examine, stillTheirs, type Examination, type Session } from "./api.js";
import { Connect } from "./connect.js";
import { noticeGeneration } from "./newest.js";
import { Ago, Caution, Empty, Problem, Time, number, usePolled } from "./parts.js";
import { Plot } from "./plot.js";
import type { Day, Status } from "./types.js";

const STATES: Record<Status["state"], string> = {
  not_connected: "Nothing was read yet",
  syncing: "Reading the account",
  connected: "Connected",
  error: "Needs attention",
};

/** The runs that were to look through the whole account: all but small publications. */
export function sweeps(status: Status): Status["runs"] {
  return status.runs.filter(({ by }) => by !== "audit log");
}

/** When the data was last found to be so: what was found unchanged is as new as what was published. Where no run found it, it is older than all. */
export function seen(status: Status, published: string): string {
  const good = sweeps(status).find(({ outcome }) => outcome === "published" || outcome === "unchanged");
  return (good ?? status.runs.at(-1))?.finished_at ?? published;
}

/** When the cron trigger comes next, as far as its last two syncs tell: a Worker does not know its own triggers. */
function nextRun(status: Status): string | null {
  if (status.running !== null) return null;
  const [last, before] = status.runs.filter(({ by }) => by === "cron").map(({ started_at }) => new Date(started_at).getTime());
  if (last === undefined || before === undefined) return null;
  const next = last + (last - before);
  return next < Date.now() ? null : new Date(next).toISOString();
}

export function Now({ session }: { session: Session }): JSX.Element {
  const { value: status, error, again } = usePolled(() => ask<Status>("GET", "/v1/status"), (latest) => latest?.running != null);
  const [failed, setFailed] = useState<unknown>(null);
  const [isAsked, setAsked] = useState(false);
  const current = status?.generations[0];
  useEffect(() => {
    if (current !== undefined) noticeGeneration(current.generation);
  }, [current?.generation]);
  if (status === null) return error === null ? <p role="status">Asking…</p> : <Problem error={error} />;
  const sync = async (): Promise<void> => {
    setAsked(true);
    try {
      await stillTheirs(session);
      await ask("POST", "/v1/sync");
      setFailed(null);
    } catch (refused) {
      setFailed(refused);
    }
    setAsked(false);
    again();
  };
  const save = (path: string) => (): void => void download(path).then(() => setFailed(null), setFailed);
  const [last] = sweeps(status);
  const off = Object.entries(status.capabilities).filter(([, capability]) => !capability.on || capability.unreadable !== undefined);
  const beside = [["audit log", status.audit_log] as const, ["last logins", status.last_logins] as const].flatMap(([name, list]) => (list == null || list.readable ? [] : [`${name}: ${list.message}`]));
  const next = nextRun(status);
  const waiting = status.jobs.filter((job) => job.state !== "done");
  return (
    <>
      <Problem error={error} />
      <section class="cards" aria-label="How things stand">
        <div class={`card state ${status.state}`}>
          <h2>{STATES[status.state]}</h2>
          {status.running === null ? null : <Running running={status.running} />}
          {last === undefined || status.running !== null ? null : (
            <p>
              Last sync <Time at={last.finished_at} />: {last.message}
            </p>
          )}
          {current === undefined ? (
            <p>The first sync reads every member, role, group and token. It starts with the cron trigger, or now:</p>
          ) : (
            // How long ago that is hangs on the clock of whoever looks, which may be wrong.
            <p>The data was last found to be so <Time at={seen(status, current.published_at)} />, <Ago at={seen(status, current.published_at)} />.</p>
          )}
          {next === null ? null : (
            <p>
              Next run about <Time at={next} />.
            </p>
          )}
          <p>
            Left of Cloudflare's budget in these five minutes: {number(status.requests_left.sync)} requests for syncs, {number(status.requests_left.provisioning)} for changes of access.
            {status.callbacks_waiting === 0 ? "" : ` ${number(status.callbacks_waiting)} outcomes wait to be told to ConductorOne.`}
          </p>
          {status.public_url === null ? (
            <p>Where ConductorOne reaches this Worker is not known yet: sign in over https with CONNECTOR_TOKEN, or set PUBLIC_URL.</p>
          ) : (
            <p>
              ConductorOne has to reach it at <code>{status.public_url.url}</code>
              {status.public_url.learned_at === undefined ? "" : <>, learned <Time at={status.public_url.learned_at} /></>}.
            </p>
          )}
          {session.right === "full" ? (
            <button type="button" class="primary" disabled={isAsked || status.running !== null} onClick={() => void sync()}>
              Sync now
            </button>
          ) : null}
          <Problem error={failed} />
        </div>
        {current === undefined ? null : (
          <div class="card">
            <h2>The account</h2>
            <dl class="numbers">
              <Figure what="people" of={current.counts.users} href="#/people" />
              <Figure what="invitations" of={current.counts.invitations} href="#/people" />
              <Figure what="roles" of={current.counts.roles} href="#/roles" />
              <Figure what="scoped roles" of={current.counts.scoped_roles} href="#/roles" />
              <Figure what="groups" of={current.counts.groups} href="#/groups" />
              <Figure what="tokens" of={current.counts.tokens} href="#/tokens" />
              <Figure what="grants" of={current.counts.grants} href="#/matrix" />
            </dl>
            <p class="buttons">
              <button type="button" onClick={save("/v1/export/users.csv")}>People as CSV</button>
              <button type="button" onClick={save("/v1/export/grants.csv")}>Grants as CSV</button>
              <button type="button" onClick={save("/v1/export/sync.c1z")}>.c1z file</button>
            </p>
          </div>
        )}
      </section>
      <Attention title="What happened that nobody asked for" items={status.incidents.map((incident) => [incident.at, incident.message])} />
      <Attention title="What is off" items={off.map(([name, { message, unreadable }]) => [null, `${name.replaceAll("_", " ")}: ${message ?? ""}${unreadable === undefined ? "" : ` ${number(unreadable.count)} cannot be read in full, such as ${unreadable.first.join(", ")}`}`] as [null, string]).concat(beside.map((text) => [null, text]))} />
      <Attention title="Variables that are wrong" items={status.wrong_variables.map(({ variable, message }) => [null, `${variable}: ${message}`])} />
      <Attention title="What is waiting" items={waiting.map((job) => [job.due_at ?? null, `${job.kind.replaceAll("_", " ")} of ${job.subject}: ${job.message ?? job.state}`])} />
      <Attention title="Rows that this version cannot read" items={(status.set_aside ?? []).map(({ table, rows }) => [null, `${number(rows)} of ${table}`])} />
      <Plots status={status} />
      {current === undefined ? null : <Connect session={session} status={status} onDone={again} />}
      <Doctor session={session} />
    </>
  );
}

function Figure({ what, of, href }: { what: string; of: number; href: string }): JSX.Element {
  return (
    <div>
      <dt>{what}</dt>
      <dd>
        <a href={href}>{number(of)}</a>
      </dd>
    </div>
  );
}

function Running({ running }: { running: NonNullable<Status["running"]> }): JSX.Element {
  const members = running.members_total;
  return (
    <>
      <progress aria-label="The running sync" max={Math.max(1, running.pages_total)} value={running.pages_done} />
      <p role="status">
        {running.phase.replaceAll("_", " ")}: {number(running.pages_done)} of {number(running.pages_total)} pages
        {members === null ? "" : `, ${number(running.members_seen)} of ${number(members)} members`}, {number(running.requests)} requests
      </p>
      {running.trouble === undefined || running.trouble === null ? null : <Caution>{running.trouble}</Caution>}
    </>
  );
}

function Attention({ title, items }: { title: string; items: [string | null, string][] }): JSX.Element | null {
  if (items.length === 0) return null;
  return (
    <section class="card attention">
      <h2>{title}</h2>
      <ul>
        {items.map(([at, text]) => (
          <li key={`${at}/${text}`}>
            {at === null ? null : (
              <>
                <Time at={at} />:{" "}
              </>
            )}
            {text}
          </li>
        ))}
      </ul>
    </section>
  );
}

interface FindingEvent {
  number: number;
  at: string;
  what: "opened" | "closed" | "accepted" | "open_again";
}

/** Findings opened and closed, by day, as far as the last thousand events go. */
function FindingsPlot({ generation }: { generation: string }): JSX.Element | null {
  // What the other plots show does not wait for it.
  const { value } = useAsked<{ items: FindingEvent[] }>("/v1/operations?of=findings&limit=1000", generation);
  const days = useMemo(() => {
    const of = new Map<number, { opened: number; closed: number }>();
    for (const { at, what } of value?.items.toReversed() ?? []) {
      const day = new Date(at).setHours(0, 0, 0, 0) / 1000;
      const count = of.get(day) ?? { opened: 0, closed: 0 };
      // One whose acceptance ended is open again.
      if (what !== "accepted") count[what === "open_again" ? "opened" : what] += 1;
      of.set(day, count);
    }
    return [...of];
  }, [value]);
  if (days.length === 0) return null;
  return (
    <Plot
      title="Findings opened and closed, by day"
      times={days.map(([day]) => day)}
      lines={[
        { title: "opened", colour: "two", values: days.map(([, { opened }]) => opened) },
        { title: "closed", colour: "one", values: days.map(([, { closed }]) => closed) },
      ]}
    />
  );
}

/** Days that the plots go back. */
const DAYS = 400;

/** Fewer days than this make no line: then the last syncs are shown. */
const FEW_DAYS = 3;

/** The account and its syncs by day, once there are some. */
function useDays(generation: string): Day[] {
  const { value } = useAsked<{ items: Day[] }>(`/v1/days?limit=${DAYS}`, generation);
  return useMemo(() => value?.items.toReversed() ?? [], [value]);
}

function ByDay({ days }: { days: Day[] }): JSX.Element {
  const known = days.filter(({ people }) => people !== null);
  const at = ({ day }: Day): number => new Date(`${day}T12:00:00Z`).getTime() / 1000;
  const syncs = ({ published, unchanged, failed, held }: Day): number => Math.max(1, published + unchanged + failed + held);
  return (
    <>
      <Plot
        title="People and grants, by day"
        times={known.map(at)}
        lines={[
          { title: "people", colour: "one", values: known.map(({ people }) => people ?? 0) },
          { title: "grants", colour: "two", scale: "grants", values: known.map(({ grants }) => grants ?? 0) },
        ]}
      />
      <Plot
        title="Requests and seconds of a sync, by day"
        times={days.map(at)}
        lines={[
          { title: "requests", colour: "one", values: days.map((day) => Math.round(day.requests / syncs(day))) },
          { title: "seconds", colour: "two", scale: "seconds", values: days.map((day) => day.duration_millis / syncs(day) / 1000) },
        ]}
      />
    </>
  );
}

function Plots({ status }: { status: Status }): JSX.Element {
  const generations = status.generations.toReversed();
  const runs = status.runs.toReversed();
  const days = useDays(generations.at(-1)?.generation ?? "");
  const seconds = (at: string): number => new Date(at).getTime() / 1000;
  if (days.length >= FEW_DAYS) {
    return (
      <section class="cards" aria-label="Over time">
        <ByDay days={days} />
        <FindingsPlot generation={generations.at(-1)?.generation ?? ""} />
      </section>
    );
  }
  if (generations.length < 2 && runs.length < 2) return <Empty>After a few syncs this shows the account over time.</Empty>;
  return (
    <section class="cards" aria-label="Over time">
      <Plot
        title="People and grants"
        times={generations.map(({ published_at }) => seconds(published_at))}
        lines={[
          { title: "people", colour: "one", values: generations.map(({ counts }) => counts.users + counts.invitations) },
          { title: "grants", colour: "two", scale: "grants", values: generations.map(({ counts }) => counts.grants) },
        ]}
      />
      <Plot
        title="Requests and seconds of each sync"
        times={runs.map(({ finished_at }) => seconds(finished_at))}
        lines={[
          { title: "requests", colour: "one", values: runs.map(({ requests }) => requests) },
          { title: "seconds", colour: "two", scale: "seconds", values: runs.map(({ duration_millis }) => duration_millis / 1000) },
        ]}
      />
      <FindingsPlot generation={generations.at(-1)?.generation ?? ""} />
    </section>
  );
}

function Doctor({ session }: { session: Session }): JSX.Element | null {
  const [found, setFound] = useState<Examination | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  if (session.right !== "full") return null;
  const look = async (): Promise<void> => {
    setBusy(true);
    try {
      setFound(await examine());
      setError(null);
    } catch (failed) {
      setError(failed);
    }
    setBusy(false);
  };
  return (
    <section class="card">
      <h2>Doctor</h2>
      <p>Checks the token's permissions, the way to ConductorOne, and everything that is configured.</p>
      <button type="button" disabled={busy} onClick={() => void look()}>
        {busy ? "Looking…" : "Examine now"}
      </button>
      <Problem error={error} />
      {found === null ? null : <Checks found={found} />}
    </section>
  );
}

export function Checks({ found }: { found: Examination }): JSX.Element {
  return (
    <ul class="checks">
      {found.checks.map((check) => (
        <li key={check.name} class={check.ok ? "ok" : check.required ? "bad" : "off"}>
          <span aria-hidden="true">{check.ok ? "✓" : check.required ? "✗" : "–"}</span>
          <span class="hidden">{check.ok ? "Right: " : check.required ? "Missing: " : "Off: "}</span>
          <strong>{check.name}</strong> {check.message}
        </li>
      ))}
    </ul>
  );
}
