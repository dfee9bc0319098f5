// Pointing ConductorOne's entitlements at this Worker, as `make connect` does: for who deployed it by a button and has no clone.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { ask, Refused, retryMillis, stillTheirs, type Session } from "./api.js";
import { Problem, Time, number } from "./parts.js";
import type { Status } from "./types.js";

interface Line {
  n: number;
  what: string;
  text: string;
}

interface Report {
  run: number;
  mode: string;
  state: "running" | "done" | "failed";
  message: string | null;
  lines: Line[];
  more: boolean;
}

/** How often it looks how far the run is. */
const LOOK_MS = 1_000;

/** What was looked at counts for as long as this: somebody else may have changed something since. */
const SEEN_MILLIS = 10 * 60_000;

/** More lines than this are counted and not shown: the route has all of them. */
const SHOWN = 2_000;

interface Told {
  report: Report;
  lines: Line[];
}

/** The run that is shown, followed to its end; what passes is asked for again. It is begun with options, or is the latest one. */
function useRun(session: Session): { told: Told | null; error: unknown; busy: boolean; follow: (options: object | null) => Promise<number | null> } {
  const [told, setTold] = useState<Told | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const left = useRef(false);
  useEffect(() => () => void (left.current = true), []);
  /** The run's number, where it went well to its end. */
  const follow = async (options: object | null): Promise<number | null> => {
    setBusy(true);
    setError(null);
    setTold(null);
    try {
      if (options !== null) await stillTheirs(session);
      let report = await (options === null ? ask<Report>("GET", "/v1/connect") : ask<Report>("POST", "/v1/connect", options));
      const lines = [...report.lines];
      setTold({ report, lines: [...lines] });
      let failures = 0;
      while (report.state === "running" || report.more) {
        // Lines that are there already are asked for at once, but not again of a Worker that does not answer.
        const wait = failures > 0 ? retryMillis(failures, LOOK_MS) : report.more ? 0 : LOOK_MS;
        if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
        if (left.current) break;
        try {
          const next = await ask<Report>("GET", `/v1/connect?after=${lines.at(-1)?.n ?? 0}`);
          if (next.run !== report.run) throw new Refused(409, "connect_running", "Somebody began another run meanwhile.");
          report = next;
          failures = 0;
          setError(null);
        } catch (failed) {
          if (!(failed instanceof Refused) || !failed.passes) throw failed;
          failures += 1;
          setError(failed);
          continue;
        }
        lines.push(...report.lines);
        setTold({ report, lines: [...lines] });
      }
      return report.state === "done" ? report.run : null;
    } catch (failed) {
      setError(failed);
      return null;
    } finally {
      setBusy(false);
    }
  };
  return { told, error, busy, follow };
}

export function Connect({ session, status, onDone }: { session: Session; status: Status; onDone: () => void }): JSX.Element | null {
  const [app, setApp] = useState("");
  const [overwrite, setOverwrite] = useState(false);
  // What was looked at, by which run and when: nothing else can be done than what was told before.
  const [seen, setSeen] = useState<{ asked: string; run: number; at: number } | null>(null);
  const [undoing, setUndoing] = useState(false);
  const { told, error, busy, follow } = useRun(session);
  if (session.right !== "full") return null;
  const { connection } = status;
  const options = { ...(app.trim() === "" ? {} : { app_id: app.trim() }), overwrite };
  const asked = JSON.stringify(options);
  const run = async (more: object): Promise<void> => {
    setUndoing(false);
    setSeen(null);
    const done = await follow({ ...options, ...more });
    if (done !== null && "dry_run" in more) setSeen({ asked, run: done, at: Date.now() });
    onDone();
  };
  // The status may still be of the run before.
  const isSeen = (): boolean => seen !== null && seen.asked === asked && Date.now() < seen.at + SEEN_MILLIS && (connection === undefined || connection.last_run.run <= seen.run);
  const isConnected = connection?.connected_at != null;
  return (
    <section class="card">
      <h2>ConductorOne</h2>
      {isConnected ? (
        <p>
          Connected <Time at={connection.connected_at} />
          {connection.app === null ? "" : <>, as the app <bdi>{connection.app.name}</bdi></>}: {number(connection.wired)} {connection.wired === 1 ? "entitlement was" : "entitlements were"} pointed here then.
        </p>
      ) : (
        <p>
          No entitlement of ConductorOne's was pointed at this Worker from here. Let ConductorOne take the account in first, and give this Worker an API key of ConductorOne's: the secrets <code>C1_CLIENT_ID</code> and{" "}
          <code>C1_CLIENT_SECRET</code>.
        </p>
      )}
      {connection?.last_run.state === "failed" && told === null ? <p class="problem">The last time: {connection.last_run.message}</p> : null}
      <div class="tools">
        <label>
          Id of the app <input value={app} placeholder="found by itself" onInput={(event) => setApp(event.currentTarget.value)} />
        </label>
        <label>
          <input type="checkbox" checked={overwrite} onChange={(event) => setOverwrite(event.currentTarget.checked)} /> replace also what people set up on purpose
        </label>
      </div>
      <p class="buttons">
        <button type="button" disabled={busy} onClick={() => void run({ dry_run: true })}>
          See what it would change
        </button>
        <button type="button" class="primary" disabled={busy || !isSeen()} onClick={() => (isSeen() ? void run({}) : setSeen(null))}>
          Connect
        </button>
        {connection === undefined || told !== null ? null : (
          <button type="button" disabled={busy} onClick={() => void follow(null).then(onDone)}>
            {connection.last_run.state === "running" ? "Follow the run that goes on" : "What the last run did"}
          </button>
        )}
        {connection === undefined ? null : undoing ? (
          <button type="button" class="danger" disabled={busy} onClick={() => void run({ undo: true, overwrite: false, app_id: undefined })}>
            Yes, put back what was there before
          </button>
        ) : (
          <button type="button" disabled={busy} onClick={() => setUndoing(true)}>Put back…</button>
        )}
      </p>
      <Problem error={error} />
      {told === null ? null : (
        <>
          <p role="status" class={told.report.state === "failed" ? "problem" : ""}>
            {told.report.state === "running" ? `${told.report.message ?? "It goes on"} (${number(told.lines.length)} lines so far)` : told.report.message}
          </p>
          {told.lines.length === 0 ? null : (
            <ul class="journal told" tabIndex={0} aria-label="What was found and done">
              {told.lines.slice(0, SHOWN).map(({ n, what, text }) => (
                <li key={n}>
                  <strong>{what.replace("_", " ")}</strong> {text}
                </li>
              ))}
              {told.lines.length > SHOWN ? <li>and {number(told.lines.length - SHOWN)} more: GET /v1/connect has all of them</li> : null}
            </ul>
          )}
        </>
      )}
    </section>
  );
}
