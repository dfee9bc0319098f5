// The page at /: who is signed in sees the account; who is not, or where nothing is set up yet, sees what to do next.
import { render, type JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { forget } from "./account.js";
import { Changes } from "./changes.js";
import { anotherSession, ask, examine, Refused, retryMillis, whenAnother, whenSignedOut, type Examination, type Session } from "./api.js";
import { Findings } from "./findings.js";
import { Now } from "./now.js";
import { Journal, OneOperation } from "./operations.js";
import { Clock, Empty, Name, Problem } from "./parts.js";
import { OnePerson, People } from "./people.js";
import { OneResource } from "./reach.js";
import { Groups, Matrix, OneGroup, OneRole, Roles } from "./roles.js";
import { SetUp } from "./setup.js";
import { OneToken, Tokens } from "./tokens.js";
import { Wonder } from "./whatif.js";

const VIEWS: [string, string][] = [
  ["now", "Now"],
  ["people", "People"],
  ["roles", "Roles and scopes"],
  ["groups", "Groups"],
  ["tokens", "Tokens"],
  ["matrix", "Matrix"],
  ["findings", "Findings"],
  ["changes", "Changes"],
  ["operations", "Operations"],
  ["what-if", "What if"],
];

/** The view and its parameter that the address names. */
function place(): { view: string; id: string | null } {
  const [view = "", id] = location.hash.replace(/^#\/?/, "").split("/");
  try {
    return { view: view === "resources" || VIEWS.some(([name]) => name === view) ? view : "now", id: id === undefined ? null : decodeURIComponent(id) };
  } catch {
    return { view: "now", id: null };
  }
}

type Standing = { is: "asking" } | { is: "signed-out"; entry?: string | null } | { is: "signed-in"; session: Session; said?: Refused } | { is: "unconfigured"; found: Examination | null } | { is: "failed"; error: unknown };

/** A session that is refused again so soon is not begun anew at once. */
const AGAIN_MILLIS = 60_000;

function App(): JSX.Element {
  const [standing, setStanding] = useState<Standing>({ is: "asking" });
  /** How often everything was forgotten: what is shown begins anew with that, or it would wait for lists that nobody reads. */
  const forgets = useRef(0);
  /** How often it was asked who is signed in, and whether it still is: an earlier answer that comes later tells nothing. */
  const looks = useRef(0);
  const isAsking = useRef(false);
  const failures = useRef(0);
  /** How often the Worker answered as if there were no session, and when that, or that it knows one, was last told: to begin anew each time would go round for ever. */
  const refused = useRef({ times: 0, at: 0 });
  /** Whether it is being asked because of such an answer: of several at once the first is enough. */
  const pending = useRef(false);
  const leave = (): void => {
    forget();
    anotherSession();
    forgets.current += 1;
  };
  /** Where `isThere`, somebody is signed in as far as is known: what cannot be asked for a moment takes nothing from them. */
  const look = async (isThere = false): Promise<void> => {
    const turn = (looks.current += 1);
    const isRefused = pending.current;
    isAsking.current = true;
    const stand = (latest: Standing | null): void => {
      if (turn !== looks.current) return;
      [isAsking.current, pending.current] = [false, false];
      if (latest === null) return;
      // What was asked before tells nothing any more.
      anotherSession();
      if (latest.is === "failed") failures.current += 1;
      // A session that was refused may be so again in a moment.
      else if (latest.is !== "signed-in" || refused.current.times === 0) failures.current = 0;
      if (latest.is === "signed-in" && !isThere) refused.current.at = Date.now();
      // Of what was refused meanwhile, nothing stays.
      if (latest.is === "signed-in" && isRefused) leave();
      if (latest.is === "signed-out") leave();
      setStanding(latest);
    };
    try {
      const session = await ask<Session>("GET", "/session");
      if (isRefused && refused.current.times > 1) return stand({ is: "failed", error: new Refused(0, "error", "The Worker knows the session, and answers as if there were none.") });
      stand({ is: "signed-in", session });
    } catch (error) {
      if (error instanceof Refused && error.status === 401) return stand({ is: "signed-out", entry: error.entry });
      if (error instanceof Refused && error.code === "not_configured") {
        // Open while there is no token at all; where there is one, it is asked for.
        return stand({ is: "unconfigured", found: await examine().catch(() => null) });
      }
      stand(isThere ? null : { is: "failed", error });
    }
  };
  /** A session is told in another way than by asking: what was asked before tells nothing any more. */
  const begin = (): void => {
    looks.current += 1;
    [isAsking.current, pending.current, failures.current] = [false, false, 0];
    refused.current = { times: 0, at: 0 };
    anotherSession();
  };
  useEffect(() => {
    // Asked again: the answer says which ways there are to sign in.
    whenSignedOut(() => {
      if (pending.current) return;
      pending.current = true;
      const { times, at } = refused.current;
      const isAgain = times > 0 && Date.now() < at + AGAIN_MILLIS;
      if (!isAgain) failures.current = 0;
      refused.current = { times: isAgain ? times + 1 : 1, at: Date.now() };
      leave();
      void look();
    });
    whenAnother((session, said) => {
      begin();
      setStanding({ is: "signed-in", session, said });
    });
    void look();
  }, []);
  useEffect(() => {
    if (standing.is !== "failed" || !(standing.error instanceof Refused) || !standing.error.passes) return undefined;
    const again = setTimeout(() => void look(), retryMillis(failures.current));
    return () => clearTimeout(again);
  }, [standing]);
  const isIn = standing.is === "signed-in";
  const isNamed = isIn && standing.session.who != null;
  useEffect(() => {
    if (!isIn) return undefined;
    // A browser has one session: another tab may have opened another one, and what is done here would be done by whoever has that.
    const back = (): void => {
      if (!document.hidden && !isAsking.current) void look(true);
    };
    addEventListener("focus", back);
    // Nothing is done in a tab before it has the focus, but a name is seen in it.
    if (isNamed) document.addEventListener("visibilitychange", back);
    return () => {
      removeEventListener("focus", back);
      document.removeEventListener("visibilitychange", back);
    };
  }, [isIn, isNamed]);
  switch (standing.is) {
    case "asking":
      return <main><p role="status">Asking…</p></main>;
    case "failed":
      return (
        <main>
          <Problem error={standing.error} />
          <button type="button" onClick={() => void look()}>Try again</button>
        </main>
      );
    case "unconfigured":
      return <SetUp found={standing.found} onLook={look} />;
    case "signed-out":
      return (
        <SignIn
          entry={standing.entry ?? null}
          onSignedIn={(session) => {
            begin();
            setStanding({ is: "signed-in", session });
          }}
        />
      );
    case "signed-in":
      return (
        <Shell
          key={`${forgets.current} ${standing.session.right} ${standing.session.who ?? ""}`}
          session={standing.session}
          said={standing.said ?? null}
          onSignedOut={() => {
            leave();
            void look();
          }}
        />
      );
  }
}

function SignIn({ entry, onSignedIn }: { entry: string | null; onSignedIn: (session: Session) => void }): JSX.Element {
  const [token, setToken] = useState("");
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const open = async (event: Event): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    try {
      onSignedIn(await ask<Session>("POST", "/session", { token }));
    } catch (failed) {
      setError(failed);
      setBusy(false);
    }
  };
  return (
    <main class="narrow">
      <h1>Cloudflare connector</h1>
      {entry === null ? null : <p><a class="primary" href={entry}>Sign in with Cloudflare Access</a></p>}
      <form onSubmit={(event) => void open(event)}>
        <label>
          Token of the connector
          <input type="password" autocomplete="current-password" autofocus value={token} onInput={(event) => setToken(event.currentTarget.value)} />
        </label>
        <p>
          <code>CONNECTOR_READ_TOKEN</code> shows everything; <code>CONNECTOR_TOKEN</code> may change access too. The browser keeps neither: the session ends after eight hours. Where both are lost, set another one under{" "}
          <em>Settings</em> of this Worker in Cloudflare's dashboard, at least 32 characters long.
        </p>
        <button type="submit" class="primary" disabled={busy || token === ""}>{busy ? "Signing in…" : "Sign in"}</button>
        <Problem error={error} />
      </form>
    </main>
  );
}

/** How often the views were begun: those that take the place of others take the focus too, which would be nowhere. */
let begun = 0;

/** `said` is why it took the place of somebody else's. */
function Shell({ session, said, onSignedOut }: { session: Session; said: Refused | null; onSignedOut: () => void }): JSX.Element {
  const [{ view, id }, setPlace] = useState(place);
  useEffect(() => {
    if ((begun += 1) > 1) document.querySelector("main")?.focus();
  }, []);
  useEffect(() => {
    const moved = (): void => {
      setPlace(place());
      document.querySelector("main")?.focus();
    };
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  useEffect(() => {
    document.title = `${VIEWS.find(([name]) => name === view)?.[1] ?? "Now"} · Cloudflare connector`;
  }, [view]);
  const [failed, setFailed] = useState<unknown>(said);
  // It may come after the session that it is about, and is over with the next look.
  useEffect(() => setFailed(said), [said]);
  const leave = async (): Promise<void> => {
    setFailed(null);
    try {
      await ask("DELETE", "/session");
    } catch (error) {
      // The browser may have the cookie still, and whoever comes next with it the account.
      if (!(error instanceof Refused)) return setFailed(error);
      if (error.status !== 401) return setFailed(new Refused(error.status, error.code, `You are still signed in: ${error.message}`));
    }
    onSignedOut();
  };
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), document.querySelector("main")?.focus())}>Skip to the content</a>
      <header>
        <strong>Cloudflare connector</strong>
        <nav aria-label="Views">
          {VIEWS.map(([name, title]) => (
            <a key={name} href={`#/${name}`} aria-current={name === view ? "page" : undefined}>
              {title}
            </a>
          ))}
        </nav>
        <span class="session">
          {session.who == null ? null : <Name of={session.who} />}
          {session.right === "full" ? "may change access" : "reads"}, until <Clock at={session.ends_at} />
          <button type="button" onClick={() => void leave()}>Sign out</button>
        </span>
        <Problem error={failed} />
      </header>
      <main id="main" tabIndex={-1}>
        <View view={view} id={id} session={session} />
      </main>
    </>
  );
}

function View({ view, id, session }: { view: string; id: string | null; session: Session }): JSX.Element {
  switch (view) {
    case "people":
      return id === null ? <People session={session} /> : <OnePerson key={id} id={id} session={session} />;
    case "roles":
      return id === null ? <Roles /> : <OneRole key={id} id={id} />;
    case "resources":
      return id === null ? <Empty>There is no such view.</Empty> : <OneResource key={id} id={id} />;
    case "groups":
      return id === null ? <Groups /> : <OneGroup key={id} id={id} />;
    case "what-if":
      return <Wonder />;
    case "tokens":
      return id === null ? <Tokens /> : <OneToken key={id} id={id} />;
    case "matrix":
      return <Matrix />;
    case "findings":
      return <Findings session={session} />;
    case "changes":
      return <Changes />;
    case "operations":
      return id === null ? <Journal /> : <OneOperation key={id} id={id} />;
    case "now":
      return (
        <>
          <h1>Now</h1>
          <Now session={session} />
        </>
      );
    default:
      return <Empty>There is no such view.</Empty>;
  }
}

const root = document.getElementById("page");
if (root !== null) render(<App />, root);
