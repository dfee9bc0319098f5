// The page of a Worker that is not set up: each step with its mark, where to go, and what to type. It goes on by itself once all is there.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { BY_HAND, tokenPage } from "../../scripts/up/permissions.mjs";
import { examine, Refused, type Check, type Examination } from "./api.js";
import { Checks } from "./now.js";
import { Problem } from "./parts.js";

/** How often it looks whether something was set meanwhile. */
const LOOK_MS = 3_000;

interface Step {
  name: string;
  title: string;
  /** Where its value comes from. */
  from: ComponentChildren;
  /** What puts it there. */
  command: string;
}

const STEPS: Step[] = [
  {
    name: "CLOUDFLARE_ACCOUNT_ID",
    title: "The account",
    from: <>Its id stands on the account's overview page in <a href="https://dash.cloudflare.com/" rel="noreferrer" target="_blank">Cloudflare's dashboard</a>: 32 hexadecimal digits.</>,
    command: "a variable",
  },
  {
    name: "CLOUDFLARE_API_TOKEN",
    title: "The API token that the connector calls Cloudflare with",
    from: (
      <>
        <a href={tokenPage(true)} rel="noreferrer" target="_blank">Make it in the dashboard</a>, for this one account. The form is filled in: <em>Account Settings: Edit</em> (<em>Read</em> only reviews) is what the connector cannot do without, the others are
        optional. To be added by hand: {BY_HAND.join(" and ")}, optional too.
      </>
    ),
    command: "npx wrangler secret put CLOUDFLARE_API_TOKEN",
  },
  {
    name: "CONNECTOR_TOKEN",
    title: "The connector's own token, which opens this page",
    from: <>Make one with <code>openssl rand -hex 32</code>, and keep it where you keep passwords.</>,
    command: "npx wrangler secret put CONNECTOR_TOKEN",
  },
  { name: "C1_TENANT", title: "The ConductorOne tenant", from: <>The host in the address bar when you use ConductorOne, such as acme.conductor.one.</>, command: "a variable" },
];

function Steps({ checks }: { checks: Check[] }): JSX.Element {
  const wrong = (name: string): Check | undefined => checks.find((check) => check.name === name && !check.ok);
  const done = STEPS.filter(({ name }) => wrong(name) === undefined).length;
  return (
    <>
      <p role="status">
        {done} of {STEPS.length} steps are done.
      </p>
      <ol class="checks">
        {STEPS.map(({ name, title, from, command }) => {
          const missing = wrong(name);
          return (
            <li key={name} class={missing === undefined ? "ok" : "bad"}>
              <span aria-hidden="true">{missing === undefined ? "✓" : "✗"}</span>
              <span class="hidden">{missing === undefined ? "Done: " : "To do: "}</span>
              <strong>{title}</strong> <code>{name}</code>
              {missing === undefined ? null : (
                <>
                  <br />
                  {from}
                  <br />
                  {command === "a variable" ? <>It is a variable: set it under <code>[vars]</code> in the <code>wrangler.toml</code> that this Worker is deployed from, and deploy.</> : <>It is a secret: set it under <em>Settings</em> of this Worker in the dashboard, or with <code>{command}</code></>}
                  {missing.message.startsWith("missing") ? null : <span class="problem"> What is there {missing.message}.</span>}
                </>
              )}
            </li>
          );
        })}
      </ol>
    </>
  );
}

export function SetUp({ found, onLook }: { found: Examination | null; onLook: () => Promise<void> }): JSX.Element {
  const [token, setToken] = useState("");
  const [report, setReport] = useState(found);
  const [error, setError] = useState<unknown>(null);
  const look = async (event: Event): Promise<void> => {
    event.preventDefault();
    try {
      setReport(await examine(token));
      setError(null);
    } catch (failed) {
      setError(failed);
    }
  };
  const isShown = report !== null;
  useEffect(() => {
    let isLooking = false;
    const again = async (): Promise<void> => {
      // Nobody waits for it who does not see it. A look that takes longer than the time between two would never be heard to its end.
      if (document.hidden || isLooking) return;
      isLooking = true;
      try {
        const latest = await examine(token === "" ? undefined : token);
        if (latest.checks.some(({ name }) => name === "configuration")) return await onLook();
        if (isShown) setReport(latest);
      } catch (failed) {
        if (!(failed instanceof Refused) || failed.status !== 401) return;
        // A token is asked for: there is one by now, or everything is there and the sign-in has taken this view's place. What somebody types is
        // lost where one form comes for a moment before the other.
        await onLook();
        if (isShown && token === "") setReport(null);
      } finally {
        isLooking = false;
      }
    };
    const timer = setInterval(() => void again(), LOOK_MS);
    return () => clearInterval(timer);
  }, [isShown, token]);
  const others = report?.checks.filter(({ name }) => STEPS.every((step) => step.name !== name)) ?? [];
  return (
    <main class="narrow">
      <h1>Not set up yet</h1>
      {report === null ? (
        <form onSubmit={(event) => void look(event)}>
          <p>The Worker runs, and some of its variables are missing or malformed. Its token shows which:</p>
          <label>
            Token of the connector
            <input type="password" autocomplete="current-password" value={token} onInput={(event) => setToken(event.currentTarget.value)} />
          </label>
          <button type="submit" class="primary">Show</button>
        </form>
      ) : (
        <>
          <p>The Worker runs. These are what it still needs; each gets its mark by itself a few seconds after it is set, and then the account can be read.</p>
          <Steps checks={report.checks} />
          {others.length === 0 ? null : <Checks found={{ ok: false, checks: others }} />}
          <p>
            <code>wrangler.toml</code> is in the repository that this Worker is deployed from, which is your own copy where a button deployed it. In a clone <code>make up</code> sets all of this, and where there is no Makefile{" "}
            <code>npm run up</code>.
          </p>
          <p>
            In the dashboard there is <em>Workers &amp; Pages</em> → this Worker → <em>Settings</em> → <em>Variables and secrets</em> as well. A secret stays there; a variable that <code>wrangler.toml</code> names, as it does these,
            lasts until the next deployment. <code>PUBLIC_URL</code> may stay empty: it is learned when you sign in here with <code>CONNECTOR_TOKEN</code>.
          </p>
        </>
      )}
      <Problem error={error} />
      <button type="button" onClick={() => void onLook()}>Look again</button>
    </main>
  );
}
