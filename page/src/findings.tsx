// What is wrong with the account, with what to do about it; what is meant to be so is accepted, with a reason and an end.
import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { isCurrent, open, Source, useAsked, useList, useNewest, viewOf } from "./account.js";
import { ask, type Session } from "./api.js";
import { seen, sweeps } from "./now.js";
import { Caution, Confirm, Empty, Name, Problem, Time, number } from "./parts.js";
import type { Finding, Status } from "./types.js";

const SEVERITIES = ["high", "medium", "low"] as const;

/** A rule with hundreds of findings shows this many of them until all are wanted. */
const FIRST = 20;

export function Findings({ session }: { session: Session }): JSX.Element {
  const [state, setState] = useState("open");
  return (
    <>
      <h1>Findings</h1>
      <div class="tools">
        <label>
          <span class="hidden">Show</span>
          <select value={state} onChange={(event) => setState(event.currentTarget.value)}>
            <option value="open">Open</option>
            <option value="accepted">Accepted</option>
            <option value="closed">Closed</option>
          </select>
        </label>
      </div>
      <Found key={state} state={state} session={session} />
    </>
  );
}

function Found({ state, session }: { state: string; session: Session }): JSX.Element {
  const [source] = useState(() => new Source<Finding>(["findings"], `state=${state}`));
  useEffect(() => () => source.stop(), [source]);
  const list = useList(source);
  const [accepting, setAccepting] = useState<Finding | null>(null);
  const [lost, setLost] = useState<unknown>(null);
  const accept = (finding: Finding): void => {
    setLost(null);
    setAccepting(finding);
  };
  const again = (): void => {
    for (const each of [open, source]) void each.refresh();
  };
  const rules = new Map<string, Finding[]>();
  for (const severity of SEVERITIES) {
    for (const finding of list.items) {
      if (finding.severity === severity) rules.set(finding.rule, [...(rules.get(finding.rule) ?? []), finding]);
    }
  }
  return (
    <>
      <Problem error={list.error} />
      <Problem error={lost} />
      {state === "open" ? <Looked isNothing={list.items.length === 0 && isCurrent(list)} /> : null}
      {list.items.length === 0 && isCurrent(list) && state !== "open" ? <Empty>{state === "accepted" ? "Nothing is accepted. What is meant to be so is accepted where it is open, with a reason." : "Nothing is closed yet. A finding closes by itself once it is not so any more."}</Empty> : null}
      {[...rules].map(([rule, findings]) => (
        <Rule key={rule} findings={findings} onAccept={session.right === "full" && state === "open" ? accept : null} />
      ))}
      {accepting === null ? null : <Accept finding={accepting} session={session} onLost={setLost} onSent={again} onClose={() => setAccepting(null)} />}
    </>
  );
}

/** As of when the account was looked through, and whether it could not be since: that nothing is found is good news only where somebody looked. */
function Looked({ isNothing }: { isNothing: boolean }): JSX.Element | null {
  const { value: status, error } = useAsked<Status>("/v1/status", useNewest());
  if (status === null) return isNothing ? error === null ? <Empty>Looking…</Empty> : <Problem error={error} /> : null;
  const job = status.jobs.find(({ kind }) => kind === "findings");
  const [current] = status.generations;
  const looked = job?.last_done_at ?? null;
  // What was read is looked through each day once more, however long ago that was.
  const read = current === undefined ? looked : seen(status, current.published_at);
  const oldest = looked !== null && read !== null && read < looked ? read : looked;
  const last = oldest === null ? null : <Time at={oldest} />;
  const cannot = (what: string, why: string | undefined): JSX.Element => (
    <Caution>
      The account could not be {what}{last === null ? "" : <> since {last}{isNothing ? ", when nothing was found wrong" : ""}</>}{why ? `: ${why}` : "."}
    </Caution>
  );
  // One that was merely cut off has no reason to tell, and is made again.
  if (job !== undefined && (job.state === "failed" || (job.attempts > 0 && job.message != null))) return cannot("looked through", job.message);
  if (status.state === "error") return cannot("synced", sweeps(status)[0]?.message);
  if (!isNothing) return null;
  return <Empty>{last === null ? "The account was not looked through yet: that follows the first sync, which Now runs." : <>Nothing is found wrong, as of {last}.</>}</Empty>;
}

/** What a finding is about, with the way to its view where it has one. */
function About({ finding }: { finding: Finding }): JSX.Element {
  const view = viewOf(finding.about);
  const name = <Name of={finding.name} />;
  return view === null ? name : <a href={view}>{name}</a>;
}

function Rule({ findings, onAccept }: { findings: Finding[]; onAccept: ((finding: Finding) => void) | null }): JSX.Element | null {
  const [all, setAll] = useState(false);
  const [first] = findings;
  if (first === undefined) return null;
  const shown = all ? findings : findings.slice(0, FIRST);
  return (
    <section class={`card finding ${first.severity}`}>
      <h2>
        {first.title} <span class="count">{first.severity}, {number(findings.length)}</span>
      </h2>
      <p>{first.remedy}</p>
      <ul class="grants">
        {shown.map((finding) => (
          <li key={finding.id}>
            <div>
              <About finding={finding} />
              : <bdi>{finding.evidence}</bdi>, since <Time at={finding.since} />
              {finding.accepted === null ? null : (
                <>
                  ; accepted until <Time at={finding.accepted.until} />: <bdi>{finding.accepted.reason}</bdi>
                </>
              )}
            </div>
            {onAccept === null ? null : (
              <button type="button" class="small" aria-label={`Accept: ${finding.title}, ${finding.name}`} onClick={() => onAccept(finding)}>
                Accept…
              </button>
            )}
          </li>
        ))}
      </ul>
      {shown.length === findings.length ? null : (
        <button type="button" onClick={() => setAll(true)}>
          All {number(findings.length)}
        </button>
      )}
    </section>
  );
}

function Accept({ finding, session, onLost, onSent, onClose }: { finding: Finding; session: Session; onLost: (error: unknown) => void; onSent: () => void; onClose: () => void }): JSX.Element {
  const [reason, setReason] = useState("");
  const [until, setUntil] = useState(() => new Date(Date.now() + 90 * 86_400_000).toISOString().slice(0, 10));
  const accept = async (): Promise<string> => {
    // What is accepted is what is shown. What is shown as a sign the Worker has otherwise.
    const evidence = finding.evidence.includes("\ufffd") ? undefined : finding.evidence;
    await ask("POST", `/v1/findings/${encodeURIComponent(finding.id)}/accept`, { reason, until, evidence }).finally(onSent);
    return "Accepted. It is open again at the end.";
  };
  return (
    <Confirm title="Accept a finding" act="Accept" onAct={accept} session={session} onLost={onLost} onClose={onClose}>
      <p>
        {finding.title}: <Name of={finding.name} />: <bdi>{finding.evidence}</bdi>
      </p>
      <label>
        Reason
        <input value={reason} onInput={(event) => setReason(event.currentTarget.value)} />
      </label>
      <label>
        Until
        <input type="date" value={until} onInput={(event) => setUntil(event.currentTarget.value)} />
      </label>
    </Confirm>
  );
}
