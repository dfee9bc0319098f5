// The page at /: who is signed in sees the account; who is not, or where nothing is set up yet, sees what to do next.
import { render, type JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { forget } from "./account.js";
import { Changes } from "./changes.js";
import { ask, examine, Refused, whenSignedOut, type Examination, type Session } from "./api.js";
import { Findings } from "./findings.js";
import { Now } from "./now.js";
import { Journal, OneOperation } from "./operations.js";
import { Clock, Empty, Problem } from "./parts.js";
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

type Standing = { is: "asking" } | { is: "signed-out"; entry?: string | null } | { is: "signed-in"; session: Session } | { is: "unconfigured"; found: Examination | null } | { is: "failed"; error: unknown };

function App(): JSX.Element {
  const [standing, setStanding] = useState<Standing>({ is: "asking" });
  const look = async (): Promise<void> => {
    try {
      setStanding({ is: "signed-in", session: await ask<Session>("GET", "/session") });
    } catch (error) {
      if (error instanceof Refused && error.status === 401) return setStanding({ is: "signed-out", entry: error.entry });
      if (error instanceof Refused && error.code === "not_configured") {
        // Open while there is no token at all; where there is one, it is asked for.
        return setStanding({ is: "unconfigured", found: await examine().catch(() => null) });
      }
      setStanding({ is: "failed", error });
    }
  };
  useEffect(() => {
    // Asked again: the answer says which ways there are to sign in.
    whenSignedOut(() => {
      forget();
      void look();
    });
    void look();
  }, []);
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
      return <SignIn entry={standing.entry ?? null} onSignedIn={(session) => setStanding({ is: "signed-in", session })} />;
    case "signed-in":
      return <Shell session={standing.session} onSignedOut={() => void look()} />;
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

function Shell({ session, onSignedOut }: { session: Session; onSignedOut: () => void }): JSX.Element {
  const [{ view, id }, setPlace] = useState(place);
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
  const leave = async (): Promise<void> => {
    await ask("DELETE", "/session").catch(() => undefined);
    forget();
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
          {session.right === "full" ? "may change access" : "reads"}, until <Clock at={session.ends_at} />
          <button type="button" onClick={() => void leave()}>Sign out</button>
        </span>
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
