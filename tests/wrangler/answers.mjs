// Answers that a test chooses in place of the Worker's, so that each is late, refused or another one when the test wants it: what the page says
// meanwhile is to be so. The page's own files are those of build/page, and no Worker runs.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const [READER, WRITER, GROUP] = ["role:reader:member", "role:writer:member", "group:crew:member"];
const person = (id, entitlements) => ({ id, resource_type: "user", member_id: id, email: `${id}@example.com`, display_name: "", status: "accepted", active: true, two_factor: null, entitlements });
const invitation = (id, status) => ({ ...person(id, []), resource_type: "invitation", status, active: false });
const operation = (id, email) => ({ id, state: "settled", email, request: { action: "grant", origin: { by: "page" }, subject: { emails: [email] } }, attempts: 1, trail: [], received_at: "2026-08-21T00:30:00Z" });
const job = (more) => ({ kind: "findings", subject: "1", state: "done", attempts: 0, last_done_at: "2026-08-21T00:30:00Z", ...more });
const refuse = (status, detail) => ({ status, body: { code: "of_the_test", detail } });

/** The connection breaks before there is an answer. */
const BREAKS = Symbol("it breaks");

/** What each route answers, unless a test says otherwise; a list is one page of the first generation. */
const ACCOUNT = {
  "GET /session": { right: "full", ends_at: "2026-08-21T00:30:00Z" },
  "DELETE /session": {},
  "GET /v1/users": [person("jane", [READER]), person("john", [GROUP, WRITER])],
  "GET /v1/invitations": [],
  "GET /v1/roles": [{ id: "reader", resource_type: "role", name: "Reader", entitlement_id: READER }, { id: "writer", resource_type: "role", name: "Writer", entitlement_id: WRITER }],
  "GET /v1/scoped-roles": [],
  "HEAD /v1/groups": {},
  "GET /v1/groups": [{ id: "crew", resource_type: "group", name: "Crew", entitlement_id: GROUP, entitlements: [READER, WRITER] }],
  "GET /v1/tokens": [],
  "GET /v1/findings": [],
  "GET /v1/operations": [],
  "GET /v1/history": [],
  "GET /v1/changes": [],
  "GET /v1/status": { runs: [], capabilities: {}, jobs: [job()], generations: [{ generation: "2", published_at: "2026-08-21T01:00:00Z" }, { generation: "1", published_at: "2026-08-21T00:00:00Z" }] },
  "GET /v1/what-if": { line: "They would get it.", entitlement_id: READER, changes: true, removes_member: false, refused_by: null, gains: [], loses: [], findings: { opens: [], closes: [] } },
};

/** Everything that Now shows, of a Worker that is connected to Cloudflare and to ConductorOne. */
const STATUS = {
  state: "connected",
  running: null,
  runs: [],
  generations: [],
  capabilities: {},
  connection: { app: null, wired: 0, connected_at: null, last_run: { run: 1, state: "done", mode: "connect", message: "" } },
  jobs: [],
  incidents: [],
  requests_left: { sync: 800, provisioning: 200 },
  callbacks_waiting: 0,
  public_url: null,
  audit_log: null,
  wrong_variables: [],
};

/** Two generations, the later one second, and the second after a change of our own. */
const [FIRST, SECOND, CHANGED] = ["20260821T000000Z-0a1b2c3d", "20260821T010000Z-00000001", "20260821T010000Z-00000001-7"];

/** Routes whose answers are of a state of the account, and say of which. */
const OF_A_STATE = /^\/v1\/(users|invitations|roles|scoped-roles|groups|tokens|resources)/;

export async function told({ page, base, heading }) {
  let answers;
  /** The state of the account that answers are of; nothing where they do not tell. */
  let edition;
  /** What was asked since the view was come to. */
  let asked = [];
  /** How many documents were come to, and how many answers to the last of them are held back. */
  let visit = 0;
  let held = 0;
  page.setDefaultTimeout(20_000);
  // The page itself counts what it asked and what it has no answer to yet: what was answered here may still be on its way.
  await page.addInitScript(() => {
    const send = window.fetch;
    window.sent = { all: 0, open: 0 };
    window.fetch = async (...request) => {
      window.sent.all += 1;
      window.sent.open += 1;
      try {
        const response = await send(...request);
        await response.clone().text();
        return response;
      } finally {
        window.sent.open -= 1;
      }
    };
  });
  await page.route(`${base}/**`, async (route) => {
    const request = route.request();
    const { pathname, search } = new URL(request.url());
    if (!/^\/(v1|session)/.test(pathname)) return route.fulfill({ path: new URL(`../../build/page${pathname === "/" ? "/index.html" : pathname}`, import.meta.url).pathname });
    const name = `${request.method()} ${pathname}`;
    asked.push(name);
    const answer = answers[name] ?? refuse(404, `the test has no answer to ${name}`);
    if (answer === BREAKS) return route.abort();
    const found = await (typeof answer === "function" ? answer(new URLSearchParams(search)) : answer);
    const headers = edition === undefined || !OF_A_STATE.test(pathname) ? {} : { ETag: `"${edition}"` };
    const { status, body } = found.status === undefined || found.body === undefined ? { status: 200, body: found } : found;
    // Who left the view does not wait for it any more.
    return route.fulfill({ status, headers, json: Array.isArray(body) ? { items: body, generation: "1" } : body }).catch(() => undefined);
  });
  /** Leaves the document: what is held back of its answers is waited for by nobody any more. */
  const leave = async () => {
    await page.goto("about:blank");
    [visit, held] = [visit + 1, 0];
  };
  /** Comes to a view for the first time, with these answers in place of the account's. */
  const come = async (view, others = {}) => {
    await leave();
    answers = { ...ACCOUNT, ...others };
    [edition, asked] = [undefined, []];
    await page.goto(`${base}/#/${view}`);
  };
  /** An answer that comes once it is let go. */
  const late = (answer) => {
    let letGo;
    const gate = new Promise((resolve) => (letGo = resolve));
    const answered = async () => {
      const of = visit;
      held += 1;
      await gate;
      if (of === visit) held -= 1;
      return answer;
    };
    return [answered, letGo];
  };
  const says = (text) => page.getByText(text).first().waitFor();
  const rows = () => page.locator(".rows [aria-rowindex]:not(.head *)");
  const row = (text) => rows().filter({ hasText: text });
  const alert = (text) => page.getByRole("alert").filter({ hasText: text }).waitFor();
  /** How many columns of numbers have what, in the row of that name. */
  const numbers = (name) => row(name).locator(".numeric").allTextContents();
  const choose = (title) => page.getByRole("combobox").selectOption(title);
  const dialog = page.getByRole("dialog");
  const revoke = dialog.getByRole("button", { name: "Revoke", exact: true });
  /** Waits until a button can be pressed. */
  const enabled = (button) => button.and(page.locator(":enabled")).waitFor();
  /**
   * Lets the page show what it was answered, and ask what follows from that: until it waits for nothing but what is held back, and asked nothing more, three
   * times in a row. What it does once it has drawn something is due within 40 ms of its own clock, which runs between the jumps.
   */
  const settled = async () => {
    const until = Date.now() + 30_000;
    for (let [still, before] = [0, -1]; still < 3; ) {
      assert.ok(Date.now() < until, "the page does not come to rest");
      const { all, open } = await page.evaluate(() => new Promise((resolve) => setTimeout(() => resolve(window.sent), 50)));
      still = open === held && all === before ? still + 1 : 0;
      before = all;
    }
  };

  /** The same, of a state of the account, and with a clock that the test puts on. */
  const comeTo = async (view, of, others = {}) => {
    await page.clock.install();
    await leave();
    [answers, edition, asked] = [{ ...ACCOUNT, ...others }, of, []];
    await page.goto(`${base}/#/${view}`);
  };
  /** Lets minutes go by, and the page do what it does then. */
  const minutes = async (n) => {
    for (let minute = 0; minute < n; minute += 1) {
      await page.clock.fastForward(60_500);
      await settled();
    }
  };
  /** Has nobody look at the page any more, or somebody again. */
  const hide = (isHidden) =>
    page.evaluate((isHidden) => {
      Object.defineProperty(document, "hidden", { value: isHidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, isHidden);
  /** How often each was asked. */
  const counted = () => asked.reduce((of, name) => ({ ...of, [name]: (of[name] ?? 0) + 1 }), {});

  const NEW = { id: "new", resource_type: "role", name: "Brand New", entitlement_id: "role:new:member" };
  const john = { "GET /v1/users/john": person("john", [GROUP, WRITER]), "DELETE /v1/roles/writer/members/john": { message: "Revoked." } };
  const crew = ACCOUNT["GET /v1/groups"];
  const parts = {
    async "nobody holds a role where its holders by groups are not read yet, or cannot be"() {
      const [groups, letGo] = late(crew);
      await come("roles/role%3Areader", { "GET /v1/users": [person("john", [GROUP])], "GET /v1/groups": groups });
      await settled();
      await says("0, reading on…");
      assert.equal(await page.getByText("Nobody holds it").count(), 0);
      letGo();
      await row("john@").filter({ hasText: "through Crew" }).waitFor();
      await come("roles/role%3Areader", { "GET /v1/users": [], "GET /v1/groups": refuse(403, "no groups for you") });
      await alert("no groups for you");
      assert.equal(await page.getByText("Nobody holds it").count(), 0);
    },

    async "holders are counted as far as they are read"() {
      const [rest, letRest] = late([]);
      await come("roles", { "GET /v1/users": (params) => (params.has("cursor") ? rest() : { items: [person("jane", [READER])], next_cursor: "2", generation: "1" }) });
      await row("Reader").filter({ hasText: "1+" }).waitFor();
      await says("2, reading on…");
      assert.deepEqual(await numbers("Writer"), ["…", "…"]);
      letRest();
      await page.getByRole("status").filter({ hasText: /^2$/ }).waitFor();
      assert.deepEqual([await numbers("Reader"), await numbers("Writer")], [["1", "0"], ["0", "0"]]);
    },

    async "a group is without members only where everybody was read"() {
      await come("groups", { "GET /v1/users": refuse(403, "no people for you") });
      await alert("no people for you");
      await settled();
      assert.deepEqual(await numbers("Crew"), ["…", "2"]);
      await choose("Without members");
      assert.equal(await row("Crew").count(), 0);
    },

    async "the matrix tells that what comes through groups is still to come, or why it will not"() {
      const [groups, letGo] = late(crew);
      await come("matrix", { "GET /v1/groups": groups });
      await settled();
      await says("2 people, reading on…");
      letGo();
      await page.getByRole("img", { name: "through Crew" }).first().waitFor();
      assert.equal(await page.getByText("reading on…").count(), 0);
      await come("matrix", { "GET /v1/groups": refuse(403, "no groups for you") });
      await alert("no groups for you");
    },

    async "nothing is revoked before it is known what stays"() {
      const [groups, letGo] = late(crew);
      await come("people/user%3Ajohn", { ...john, "GET /v1/groups": groups });
      await page.getByRole("button", { name: "Revoke Writer" }).click();
      await dialog.locator(".thought").waitFor();
      await dialog.getByText("Reading on…").waitFor();
      assert.ok(await revoke.isDisabled());
      letGo();
      await dialog.getByText("through a group as well").waitFor();
      await enabled(revoke);
    },

    async "somebody made no tokens only where these were read"() {
      await come("people/user%3Ajohn", { ...john, "GET /v1/tokens": refuse(403, "no tokens for you") });
      await alert("no tokens for you");
    },

    async "lines of one question are not shown as another's"() {
      const [earlier, letEarlier] = late([operation(1, "first@example.com")]);
      await come("operations", {
        "GET /v1/operations": (params) =>
          params.has("outcome") ? refuse(410, "not kept") : params.has("cursor") ? earlier() : { items: [operation(2, "second@example.com")], next_cursor: "2" },
      });
      await page.getByRole("button", { name: "Earlier" }).click();
      await choose("Refused");
      await alert("not kept");
      letEarlier();
      await settled();
      assert.deepEqual([await page.locator(".journal > li").count(), await page.getByRole("button", { name: "Earlier" }).count()], [0, 0]);
    },

    async "two syncs that cannot be compared are not alike"() {
      await come("changes", { "GET /v1/changes": (params) => (params.has("from") ? refuse(410, "not kept") : []) });
      await page.getByLabel("to that of").selectOption({ index: 1 });
      await page.getByLabel("Or from the sync of").selectOption({ index: 2 });
      await alert("not kept");
      assert.equal(await page.getByText("otherwise").count(), 0);
    },

    async "a change that was made during a long read is read as well"() {
      const [rest, letRest] = late([person("old", [])]);
      await come("people/user%3Ajohn", { ...john, "GET /v1/users": (params) => (params.has("cursor") ? rest() : { items: ACCOUNT["GET /v1/users"], next_cursor: "2", generation: "1" }) });
      await page.getByRole("button", { name: "Revoke Writer" }).click();
      await revoke.click();
      answers["GET /v1/users"] = [person("jane", [READER]), person("john", [GROUP])];
      await page.getByRole("button", { name: "Close" }).click();
      await page.getByRole("navigation").getByRole("link", { name: "People" }).click();
      await heading("People");
      letRest();
      await page.getByRole("status").filter({ hasText: /^\d$/ }).waitFor();
      await settled();
      assert.deepEqual([await row("old@").count(), await numbers("john@")], [0, ["1"]]);
    },

    async "a change whose connection broke may have been made, and what is only read is read again"() {
      await come("people/user%3Ajohn", { ...john, "DELETE /v1/roles/writer/members/john": BREAKS });
      await page.getByRole("button", { name: "Revoke Writer" }).click();
      await revoke.click();
      await alert("It may have been done all the same: Operations tells what became of it.");
      assert.equal(await page.getByText("tries again by itself").count(), 0);
      await come("operations", { "GET /v1/operations": BREAKS });
      await alert("The page tries again by itself.");
      assert.equal(await page.getByText("all the same").count(), 0);
      await come("operations", { "GET /session": refuse(401, "sign in"), "POST /session": BREAKS });
      await page.getByLabel("Token of the connector").fill("a token");
      await page.getByRole("button", { name: "Sign in" }).click();
      await alert("The Worker cannot be reached. Check the connection.");
      assert.equal(await page.getByText("all the same").count(), 0);
    },

    async "a change that was passed on and has no answer may have been made, and one that was refused was not"() {
      const deletes = "DELETE /v1/roles/writer/members/john";
      const ask = async (answer) => {
        await come("people/user%3Ajohn", { ...john, [deletes]: answer });
        await page.getByRole("button", { name: "Revoke Writer" }).click();
        await revoke.click();
      };
      const failed = (code) => ({ status: 503, body: { code, detail: "it does not answer" } });
      for (const code of ["coordinator_unreachable", "coordinator_failed", "error", undefined]) {
        await ask(failed(code));
        await alert("it does not answer. It may have been done all the same: Operations tells what became of it.");
      }
      // Whatever stands before the Worker answers with a page of its own.
      const route = `${base}/v1/roles/writer/members/john`;
      await page.route(route, (sent) => sent.fulfill({ status: 502, contentType: "text/html", body: "<h1>Bad gateway</h1>" }));
      await ask({});
      await alert("It may have been done all the same: Operations tells what became of it.");
      await page.unroute(route);
      // The control: what tells that it was not done, and what is only read.
      for (const answer of [refuse(503, "not now"), refuse(403, "not now"), { status: 400, body: { code: "error", detail: "not now" } }]) {
        await ask(answer);
        await alert("not now");
        assert.equal(await page.getByText("all the same").count(), 0);
      }
      await come("operations", { "GET /v1/operations": failed("coordinator_unreachable") });
      await alert("it does not answer");
      assert.equal(await page.getByText("all the same").count(), 0);
      await come("operations", { "GET /session": refuse(401, "sign in"), "POST /session": failed("coordinator_failed") });
      await page.getByLabel("Token of the connector").fill("a token");
      await page.getByRole("button", { name: "Sign in" }).click();
      await alert("it does not answer");
      assert.equal(await page.getByText("all the same").count(), 0);
    },

    async "who perhaps can do something is told so, and what reads alike is two rows"() {
      const reaches = (reach, more) => ({ resource_key: "a.zone", principal_type: "user", principal_id: "jane", email: "jane@example.com", display_name: "", entitlement_id: READER, role: "Reader", reach, group_id: "", group_name: "", ...more });
      const token = { principal_type: "api_token", principal_id: "t", email: "", display_name: "Deploy", entitlement_id: "", role: "Edit" };
      await come("resources/a.zone", { "GET /v1/resources/a.zone/access": [reaches("perhaps"), reaches("object", token), reaches("account", token)] });
      await row("jane@").filter({ hasText: "perhaps: not all that it reaches is listed" }).waitFor();
      assert.equal(await row("API token Deploy").count(), 2);
      await choose("On this alone");
      await row("API token Deploy").filter({ hasText: "on this" }).waitFor();
      assert.equal(await rows().count(), 1);
    },

    async "what was under way when somebody signed out is shown to nobody after them"() {
      const [theirs, letTheirs] = late([person("old", [])]);
      await come("people", { "GET /v1/users": theirs });
      await says("reading on…");
      const [ours, letOurs] = late([person("new", [])]);
      Object.assign(answers, { "GET /session": refuse(401, "sign in"), "POST /session": ACCOUNT["GET /session"], "GET /v1/users": ours });
      await page.getByRole("button", { name: "Sign out" }).click();
      await page.getByLabel("Token of the connector").fill("another");
      letTheirs();
      await settled();
      await page.getByRole("button", { name: "Sign in" }).click();
      await heading("People");
      await settled();
      assert.equal(await rows().count(), 0);
      letOurs();
      await row("new@").waitFor();
    },

    async "a sign-out that failed is told, and nothing is forgotten for it"() {
      const out = page.getByRole("button", { name: "Sign out" });
      const signIn = page.getByLabel("Token of the connector");
      for (const failed of [BREAKS, refuse(503, "not now")]) {
        await come("people", { "DELETE /session": failed });
        await row("jane@").waitFor();
        await settled();
        asked = [];
        await out.click();
        await page.locator("header").getByRole("alert").filter({ hasText: "You are still signed in: " }).waitFor();
        await settled();
        assert.deepEqual([await row("jane@").count(), counted()], [1, { "DELETE /session": 1 }]);
        Object.assign(answers, { "DELETE /session": {}, "GET /session": refuse(401, "sign in") });
        await out.click();
        await signIn.waitFor();
      }
      // A session that is over already is one that was signed out of.
      await come("people", { "DELETE /session": refuse(401, "there is none") });
      await row("jane@").waitFor();
      answers["GET /session"] = refuse(401, "sign in");
      await out.click();
      await signIn.waitFor();
    },

    async "what was forgotten is read again where there is a session all the same"() {
      let times = 0;
      await come("people", { "GET /v1/status": () => ((times += 1) === 1 ? refuse(401, "sign in") : ACCOUNT["GET /v1/status"]) });
      await settled();
      assert.deepEqual([await row("jane@").count(), times], [1, 2]);
    },

    async "a session that the Worker knows and refuses all the same is begun anew more and more seldom"() {
      await comeTo("people", FIRST, { "GET /v1/status": refuse(401, "sign in") });
      const told = () => alert("The Worker knows the session, and answers as if there were none.");
      await told();
      await settled();
      asked = [];
      for (let n = 0; n < 12; n += 1) {
        await page.clock.fastForward(5_000);
        await settled();
      }
      await told();
      // After 5, 10 and 20 seconds, and after 40 more where the test itself took some.
      const { "GET /v1/status": rounds } = counted();
      assert.ok(rounds >= 2 && rounds <= 4, `${rounds} rounds within a minute`);
      // What is refused at once, and by many routes, is asked about once.
      const all = Object.fromEntries(["status", "users", "invitations", "roles", "groups", "tokens", "findings"].map((name) => [`GET /v1/${name}`, refuse(401, "sign in")]));
      await come("people/user%3Ajohn", { ...john, ...all });
      await told();
      await settled();
      // At first, and after each of the two rounds; and once more where the test itself took some seconds.
      const looks = counted()["GET /session"];
      assert.ok(looks >= 3 && looks <= 4, `${looks} looks`);
      // The control: it goes on by itself, and a session that is over leads to the sign-in.
      Object.assign(answers, ACCOUNT);
      await minutes(1);
      await page.getByRole("heading", { name: "john@example.com" }).waitFor();
      await settled();
      Object.assign(answers, { ...all, "GET /session": refuse(401, "sign in") });
      await page.getByRole("navigation").getByRole("link", { name: "Findings" }).click();
      await page.getByLabel("Token of the connector").waitFor();
    },

    async "a late refusal of the session before takes nothing from the one after it"() {
      const [theirs, letTheirs] = late(refuse(401, "sign in"));
      await come("people", { "GET /v1/status": theirs });
      await row("jane@").waitFor();
      Object.assign(answers, { "GET /session": refuse(401, "sign in"), "POST /session": ACCOUNT["GET /session"], "GET /v1/status": ACCOUNT["GET /v1/status"] });
      await page.getByRole("button", { name: "Sign out" }).click();
      await page.getByLabel("Token of the connector").fill("another");
      await page.getByRole("button", { name: "Sign in" }).click();
      await row("jane@").waitFor();
      await page.getByRole("searchbox").fill("jane");
      await settled();
      asked = [];
      letTheirs();
      await settled();
      assert.deepEqual([counted(), await page.getByRole("searchbox").inputValue()], [{}, "jane"]);
    },

    async "nothing is done with the session of whoever signed in meanwhile"() {
      const of = (who) => ({ "GET /session": { ...ACCOUNT["GET /session"], who } });
      const header = page.locator("header");
      const removal = "DELETE /v1/roles/writer/members/john";
      const ready = async () => {
        await come("people/user%3Ajohn", { ...john, ...of("jane@example.com") });
        await page.getByRole("button", { name: "Revoke Writer" }).click();
        await dialog.locator(".thought").waitFor();
        await enabled(revoke);
        asked = [];
      };
      await ready();
      const [thought, letThought] = late(ACCOUNT["GET /v1/what-if"]);
      answers["GET /v1/what-if"] = thought;
      await revoke.click();
      await dialog.getByText("Working…").waitFor();
      await settled();
      Object.assign(answers, of("joe@example.com"));
      letThought();
      await header.getByRole("alert").filter({ hasText: "Somebody else is signed in by now" }).waitFor();
      await header.getByText("joe@example.com").waitFor();
      await settled();
      assert.deepEqual([counted()[removal], await dialog.count()], [undefined, 0]);
      // What cannot be asked is not known.
      await ready();
      answers["GET /session"] = BREAKS;
      await revoke.click();
      await dialog.getByRole("alert").filter({ hasText: "Whose session this is could not be asked, and nothing was sent." }).waitFor();
      assert.equal(counted()[removal], undefined);
      // The control: it is still theirs.
      Object.assign(answers, of("jane@example.com"));
      await revoke.click();
      await dialog.getByRole("status").filter({ hasText: "Revoked." }).waitFor();
      assert.equal(counted()[removal], 1);
      // So it is with what is done without a question.
      const counts = { users: 1, invitations: 0, roles: 1, scoped_roles: 0, groups: 0, tokens: 0, entitlements: 1, grants: 1 };
      const status = { ...STATUS, generations: [{ generation: FIRST, published_at: "2026-08-21T00:00:00Z", counts }] };
      for (const [buttons, name] of [[["Sync now"], "POST /v1/sync"], [["Put back…", "Yes, put back what was there before"], "POST /v1/connect"]]) {
        await come("now", { "GET /v1/status": status, "GET /v1/days": [], ...of("jane@example.com") });
        await page.getByRole("button", { name: buttons[0] }).waitFor();
        Object.assign(answers, of("joe@example.com"));
        for (const button of buttons) await page.getByRole("button", { name: button }).click();
        await header.getByRole("alert").filter({ hasText: "Somebody else is signed in by now" }).waitFor();
        await settled();
        assert.equal(counted()[name], undefined);
      }
    },

    async "a look whether it is set up by now is waited for before there is another one"() {
      const doctor = (name) => ({ "GET /v1/doctor": { ok: false, checks: [{ name, ok: false, required: true, message: "missing" }] } });
      await comeTo("people", FIRST, { "GET /session": { status: 503, body: { code: "not_configured", detail: "not yet" } }, ...doctor("CONNECTOR_TOKEN") });
      await heading("Not set up yet");
      await settled();
      const [slow, letSlow] = late(ACCOUNT["GET /session"]);
      Object.assign(answers, { "GET /session": slow, ...doctor("configuration") });
      asked = [];
      for (let n = 0; n < 4; n += 1) {
        await page.clock.fastForward(3_500);
        await settled();
      }
      assert.deepEqual(counted(), { "GET /v1/doctor": 1, "GET /session": 1 });
      letSlow();
      await row("jane@").waitFor();
    },

    async "a refusal without a word is told by its status"() {
      await come("operations", { "GET /v1/operations": refuse(403, "") });
      await alert("The Worker answered 403");
    },

    async "a tab shows whose session it is, and begins anew where that is somebody else's by now"() {
      const of = (who, right = "full") => ({ ...ACCOUNT["GET /session"], who, right });
      const header = page.locator("header");
      const typed = page.getByLabel("E-mail address");
      const comeBack = async () => {
        await hide(true);
        await hide(false);
        await settled();
      };
      await come("what-if", { "GET /session": of("jane@example.com") });
      await header.getByText("jane@example.com").waitFor();
      await typed.fill("typed");
      await settled();
      asked = [];
      // What somebody typed stays where nothing is otherwise, or that cannot be asked for a moment.
      await comeBack();
      assert.deepEqual([counted()["GET /session"], await typed.inputValue()], [1, "typed"]);
      answers["GET /session"] = BREAKS;
      await comeBack();
      assert.deepEqual([counted()["GET /session"], await typed.inputValue()], [2, "typed"]);
      answers["GET /session"] = of("joe@example.com");
      await comeBack();
      await header.getByText("joe@example.com").waitFor();
      assert.equal(await typed.inputValue(), "");
      // What had the focus is gone.
      assert.equal(await page.evaluate(() => document.activeElement.id), "main");
      await typed.fill("typed");
      answers["GET /session"] = of("joe@example.com", "read");
      await comeBack();
      await header.getByText("reads, until").waitFor();
      assert.equal(await typed.inputValue(), "");
      // Of a session by a token there is no name to show: it is asked before anything can be done.
      await come("what-if");
      await typed.fill("typed");
      await settled();
      answers["GET /session"] = of("joe@example.com");
      await page.evaluate(() => void dispatchEvent(new Event("focus")));
      await header.getByText("joe@example.com").waitFor();
      assert.equal(await typed.inputValue(), "");
      await settled();
      answers["GET /session"] = refuse(401, "sign in");
      await comeBack();
      await page.getByLabel("Token of the connector").waitFor();
    },

    async "who accepts between the reads of two lists is in one of them"() {
      let reads = 0;
      await come("people", {
        "GET /v1/users": () => ((reads += 1) === 1 ? [person("jane", [])] : { items: [person("jane", []), person("joined", [])], generation: "2" }),
        "GET /v1/invitations": { items: [], generation: "2" },
      });
      await row("joined@").waitFor();
      await settled();
      assert.deepEqual([await rows().count(), reads], [2, 2]);
      // However often the account is published, nobody waits for it to stop.
      reads = 0;
      await come("people", { "GET /v1/users": () => ({ items: [person("jane", [])], generation: `0${(reads += 1)}` }) });
      await page.getByRole("status").filter({ hasText: /^1$/ }).waitFor();
      assert.equal(reads, 2);
    },

    async "who accepts while the account is published again and again is on the list, and once"() {
      let reads = 0;
      // The account is another one with each answer, and they accept before the last of them.
      const list = (invited, accepted) => () => ({ items: (reads += 1) < 4 ? invited : accepted, generation: `0${reads}` });
      await come("people", {
        "GET /v1/users": list([person("jane", [])], [person("jane", []), person("joined", [])]),
        "GET /v1/invitations": list([invitation("joined", "pending")], []),
      });
      await page.getByRole("status").filter({ hasText: /^2$/ }).waitFor();
      await row("joined@").filter({ hasText: "accepted" }).waitFor();
      assert.deepEqual([await rows().count(), reads], [2, 4]);
    },

    async "who asks again is answered again"() {
      await come("what-if");
      await page.getByLabel("E-mail address").fill("jane@example.com");
      await page.getByLabel("Role or group").selectOption("Reader");
      await page.getByRole("button", { name: "Ask" }).click();
      await says("They would get it.");
      answers["GET /v1/what-if"] = refuse(403, "not any more");
      await page.getByRole("button", { name: "Ask" }).click();
      await alert("not any more");
      assert.equal(await page.getByText("They would get it.").count(), 0);
    },

    async "nothing is found wrong as of when somebody looked, and not by who could not"() {
      const jobs = (more) => ({ "GET /v1/status": { ...STATUS, jobs: [job(more)] } });
      await come("findings", jobs({}));
      await says("Nothing is found wrong, as of");
      await come("findings", jobs({ state: "due", attempts: 3, message: "out of reach" }));
      await alert(/could not be looked through since .*, when nothing was found wrong: out of reach/);
      assert.equal(await page.getByText("is found wrong").count(), 0);
      await come("findings", jobs({ state: "failed", attempts: 18, message: "out of reach", last_done_at: null }));
      await alert("could not be looked through: out of reach");
    },

    async "nothing is found wrong as of when the account was read, though that is looked through each day"() {
      const run = (day, outcome, message) => ({ run: day, by: "cron", started_at: `2026-${day}T00:00:00.000Z`, finished_at: `2026-${day}T00:01:00.000Z`, outcome, message, duration_millis: 60_000, requests: 1 });
      const generations = [{ generation: FIRST, published_at: "2026-06-01T00:00:00.000Z" }];
      const stands = (state, ...runs) => ({ "GET /v1/status": { ...STATUS, state, runs, generations, jobs: [job({ last_done_at: "2026-08-21T00:30:00.000Z" })] } });
      // What was told before may still be there for a moment.
      const said = (text, at) => page.locator(".empty, .problem").filter({ hasText: text }).locator(`time[datetime="${at}"]`).waitFor();
      // As good as new: of the two the earlier one counts.
      await come("findings", stands("connected", run("08-21", "unchanged", "The account is as it was.")));
      await said("Nothing is found wrong, as of", "2026-08-21T00:01:00.000Z");
      await come("findings", stands("connected", run("08-22", "unchanged", "The account is as it was.")));
      await said("Nothing is found wrong, as of", "2026-08-21T00:30:00.000Z");
      // Read again and again in vain: what was looked through last night is that of weeks ago.
      await come("findings", stands("syncing", run("08-21", "failed", "the token is no more"), run("07-02", "unchanged", "")));
      await said("Nothing is found wrong, as of", "2026-07-02T00:01:00.000Z");
      await come("findings", stands("error", run("08-21", "failed", "the token is no more"), run("07-02", "unchanged", "")));
      await alert(/could not be synced since .*, when nothing was found wrong: the token is no more/);
      await said("could not be synced", "2026-07-02T00:01:00.000Z");
      assert.equal(await page.getByText("is found wrong").count(), 0);
    },

    async "nothing is done while another question is answered, and all else that cannot be told hinders nobody"() {
      const busy = { status: 503, body: { code: "not_now", detail: "another question is being answered" } };
      await comeTo("people/user%3Ajohn", FIRST, { ...john, "GET /v1/what-if": busy });
      await page.getByRole("button", { name: "Revoke Writer" }).click();
      await dialog.getByRole("alert").filter({ hasText: "another question is being answered" }).waitFor();
      await settled();
      assert.ok(await revoke.isDisabled());
      // It is asked again by itself.
      answers["GET /v1/what-if"] = ACCOUNT["GET /v1/what-if"];
      await minutes(1);
      await dialog.locator(".thought").waitFor();
      await enabled(revoke);
      // Where that never ends, nobody is kept from taking access away.
      await come("people/user%3Ajohn", { ...john, "GET /v1/what-if": busy });
      await page.getByRole("button", { name: "Revoke Writer" }).click();
      await dialog.getByRole("alert").filter({ hasText: "another question is being answered" }).waitFor();
      assert.ok(await revoke.isDisabled());
      await minutes(3);
      await dialog.getByRole("alert").filter({ hasText: "another question is being answered" }).waitFor();
      await enabled(revoke);
      await come("people/user%3Ajohn", { ...john, "GET /v1/what-if": refuse(503, "the snapshot is out of reach") });
      await page.getByRole("button", { name: "Revoke Writer" }).click();
      await dialog.getByRole("alert").filter({ hasText: "out of reach" }).waitFor();
      await enabled(revoke);
    },

    async "nothing is done that would change something else than is shown, be it since a moment or since a newer state"() {
      const last = { ...ACCOUNT["GET /v1/what-if"], line: "They would be removed.", removes_member: true };
      const askToRevoke = async () => {
        await page.getByRole("button", { name: "Revoke Writer" }).click();
        await dialog.getByText("They would get it.").waitFor();
        await dialog.getByText("and keeps everything else").waitFor();
        asked = [];
      };
      const deletes = () => counted()["DELETE /v1/roles/writer/members/john"] ?? 0;
      const questions = () => counted()["GET /v1/what-if"] ?? 0;
      // While somebody looks at it: the newer state has it asked again.
      await comeTo("people/user%3Ajohn", FIRST, john);
      await askToRevoke();
      [answers["GET /v1/what-if"], edition] = [last, SECOND];
      await minutes(1);
      await dialog.getByText("the member would be removed").waitFor();
      assert.equal(await dialog.getByText("keeps everything else").count(), 0);
      // Right before the click.
      await come("people/user%3Ajohn", john);
      await askToRevoke();
      answers["GET /v1/what-if"] = last;
      await revoke.click();
      await dialog.getByRole("alert").filter({ hasText: "It would change something else by now" }).waitFor();
      await dialog.getByText("the member would be removed").waitFor();
      assert.equal(await dialog.getByText("keeps everything else").count(), 0);
      assert.equal(deletes(), 0);
      // Whoever has seen that may want it all the same.
      await revoke.click();
      await dialog.getByRole("status").filter({ hasText: "Revoked." }).waitFor();
      assert.equal(deletes(), 1);
      // What more it would give or take counts as well, though the line is the same.
      await come("people/user%3Ajohn", john);
      await askToRevoke();
      answers["GET /v1/what-if"] = { ...ACCOUNT["GET /v1/what-if"], loses: [{ entitlement_id: READER, name: "Reader", through: "", reach: [], unlisted: 0 }] };
      await revoke.click();
      await dialog.getByRole("alert").filter({ hasText: "It would change something else by now" }).waitFor();
      assert.equal(deletes(), 0);
      // What cannot be told any more is no longer what is shown, and hinders nobody who has seen that.
      await come("people/user%3Ajohn", john);
      await askToRevoke();
      answers["GET /v1/what-if"] = refuse(403, "out of reach");
      await revoke.click();
      await dialog.getByRole("alert").filter({ hasText: "It cannot be told any more" }).waitFor();
      await dialog.getByRole("alert").filter({ hasText: "out of reach" }).waitFor();
      assert.equal(deletes(), 0);
      await settled();
      await revoke.click();
      await dialog.getByRole("status").filter({ hasText: "Revoked." }).waitFor();
      // The Worker that is at another question, or has a bad moment, is asked again, and whoever closes it meanwhile wants nothing any more.
      const busy = { status: 503, body: { code: "not_now", detail: "another question is being answered" } };
      for (const [passes, closes] of [[busy, false], [refuse(500, "a bad moment"), false], [busy, true]]) {
        await come("people/user%3Ajohn", john);
        await askToRevoke();
        answers["GET /v1/what-if"] = passes;
        await revoke.click();
        await dialog.getByText("Working…").waitFor();
        await settled();
        const [again, letAgain] = late(ACCOUNT["GET /v1/what-if"]);
        const before = questions();
        answers["GET /v1/what-if"] = again;
        if (closes) {
          await dialog.getByRole("button", { name: "Cancel" }).click();
          await settled();
        }
        // It is asked again all the same, and answered only then.
        for (let n = 0; n < 10 && questions() === before; n += 1) {
          await page.clock.fastForward(2_000);
          await settled();
        }
        assert.ok(questions() > before, "it is asked again by itself");
        letAgain();
        if (closes) await settled();
        else await dialog.getByRole("status").filter({ hasText: "Revoked." }).waitFor();
        assert.equal(deletes(), closes ? 0 : 1);
      }
      // The control: as it is shown.
      await come("people/user%3Ajohn", john);
      await askToRevoke();
      await revoke.click();
      await dialog.getByRole("status").filter({ hasText: "Revoked." }).waitFor();
      assert.equal(deletes(), 1);
      // So it is where somebody is granted something, removed or invited.
      const more = { ...ACCOUNT["GET /v1/what-if"], gains: [{ entitlement_id: WRITER, name: "Super Administrator", through: "Crew", reach: [], unlisted: 0 }] };
      const isSentOnlyAsShown = async (act, name) => {
        await dialog.locator(".thought").waitFor();
        answers["GET /v1/what-if"] = more;
        asked = [];
        await dialog.getByRole("button", { name: act, exact: true }).click();
        await dialog.getByRole("alert").filter({ hasText: "It would change something else by now" }).waitFor();
        await dialog.getByText("Super Administrator").waitFor();
        assert.equal(counted()[name], undefined);
        await dialog.getByRole("button", { name: act, exact: true }).click();
        await dialog.getByRole("status").filter({ hasText: "It is done." }).waitFor();
        assert.equal(counted()[name], 1);
      };
      const done = { message: "It is done." };
      const [grant, remove, invite] = ["PUT /v1/roles/reader/members/john", "DELETE /v1/accounts/john", "POST /v1/accounts"];
      await come("people/user%3Ajohn", { ...john, [grant]: done });
      await page.getByRole("button", { name: "Grant…" }).click();
      await dialog.getByLabel("Role or group").selectOption("Reader");
      await isSentOnlyAsShown("Grant", grant);
      await come("people/user%3Ajohn", { ...john, [remove]: done });
      await page.getByRole("button", { name: "Remove from the account…" }).click();
      await isSentOnlyAsShown("Remove", remove);
      await come("people", { [invite]: done });
      await page.getByRole("button", { name: "Invite…" }).click();
      await dialog.getByLabel("E-mail address").fill("new@example.com");
      await isSentOnlyAsShown("Invite", invite);
    },

    async "what is sent is not called back by who closes it, and shows once it is done"() {
      const sendAndClose = async (act, tells) => {
        await dialog.getByRole("button", { name: act, exact: true }).click();
        await dialog.getByRole("status").filter({ hasText: `It is sent and goes on when this is closed${tells}.` }).waitFor();
        assert.equal(await dialog.getByRole("button", { name: "Cancel" }).count(), 0);
        assert.ok(await dialog.getByRole("button", { name: "Working…" }).isDisabled());
        await dialog.getByRole("button", { name: "Close" }).click();
        await dialog.waitFor({ state: "detached" });
        await settled();
      };
      const journal = ": Operations tells what becomes of it, where it arrived";
      const [put, letPut] = late({ message: "Granted." });
      await come("people/user%3Ajohn", { ...john, "PUT /v1/roles/reader/members/john": put });
      await page.getByRole("button", { name: "Grant…" }).click();
      await dialog.getByLabel("Role or group").selectOption("Reader");
      await sendAndClose("Grant", journal);
      Object.assign(answers, { "GET /v1/users/john": person("john", [GROUP, WRITER, READER]), "GET /v1/operations": [operation(7, "john@example.com")] });
      letPut();
      await page.getByRole("button", { name: "Revoke Reader" }).waitFor();
      await page.locator(".journal summary").filter({ hasText: "john@" }).waitFor();
      const [post, letPost] = late({ message: "Invited." });
      await come("people", { "POST /v1/accounts": post });
      await page.getByRole("button", { name: "Invite…" }).click();
      await dialog.getByLabel("E-mail address").fill("new@example.com");
      await sendAndClose("Invite", journal);
      answers["GET /v1/invitations"] = [invitation("new", "pending")];
      letPost();
      await row("new@").waitFor();
      // That a finding is accepted is in no journal.
      const finding = { id: "f1", rule: "r", severity: "high", state: "open", title: "Too much", about: "user:john", name: "john", evidence: "all of it", since: "2026-08-21T00:30:00Z", accepted: null, remedy: "Less." };
      const [accept, letAccept] = late({});
      await come("findings", { "GET /v1/findings": [finding], "POST /v1/findings/f1/accept": accept });
      await page.getByRole("button", { name: /^Accept: / }).click();
      await page.getByLabel("Reason").fill("meant so");
      await sendAndClose("Accept", "");
      answers["GET /v1/findings"] = [];
      letAccept();
      await says("Nothing is found wrong");
      // What went wrong is told where it was asked for.
      const [lost, letLost] = late(refuse(403, "not for you"));
      await come("people/user%3Ajohn", { ...john, "DELETE /v1/roles/writer/members/john": lost });
      await page.getByRole("button", { name: "Revoke Writer" }).click();
      await sendAndClose("Revoke", journal);
      letLost();
      await alert("not for you");
      await page.getByRole("button", { name: "Revoke Writer" }).click();
      await dialog.locator(".thought").waitFor();
      assert.equal(await page.getByText("not for you").count(), 0);
      const [unsent, letUnsent] = late(refuse(403, "nobody more"));
      await come("people", { "POST /v1/accounts": unsent });
      await page.getByRole("button", { name: "Invite…" }).click();
      await dialog.getByLabel("E-mail address").fill("new@example.com");
      await sendAndClose("Invite", journal);
      letUnsent();
      await alert("nobody more");
      const [refused, letRefused] = late(refuse(403, "not yours to accept"));
      await come("findings", { "GET /v1/findings": [finding], "POST /v1/findings/f1/accept": refused });
      await page.getByRole("button", { name: /^Accept: / }).click();
      await page.getByLabel("Reason").fill("meant so");
      await sendAndClose("Accept", "");
      letRefused();
      await alert("not yours to accept");
    },

    async "what is read again can be used meanwhile, and what is wanted more of it comes with it"() {
      const change = (name) => ({ generation: FIRST, published_at: "2026-08-21T01:00:00Z", kind: "added", key: `user:${name}`, name: `${name}@example.com`, grants_added: [], grants_removed: [], fields: [] });
      const pages = (first, rest) => ({ "GET /v1/changes": (params) => (params.has("cursor") ? rest : first()) });
      const names = page.locator(".journal > li");
      const earlier = page.getByRole("button", { name: "Earlier" });
      const joan = () => ({ items: [change("joan")], next_cursor: "2" });
      await comeTo("changes", FIRST, pages(joan, refuse(403, "no more for you")));
      await earlier.click();
      await alert("no more for you");
      // A page that could not be had is not read the next time.
      [edition, asked] = [SECOND, []];
      await minutes(1);
      assert.equal(counted()["GET /v1/changes"], 1);
      const [first, letFirst] = late({ items: [change("joe"), change("joan")], next_cursor: "2" });
      Object.assign(answers, pages(first, { items: [change("old")] }));
      edition = CHANGED;
      await minutes(1);
      assert.ok(await earlier.isEnabled());
      await earlier.click();
      await settled();
      letFirst();
      await names.filter({ hasText: "old@" }).waitFor();
      assert.equal(await names.count(), 3);
    },

    async "nobody holds nothing where that cannot be read"() {
      const told = (capabilities) => ({ "GET /v1/status": { ...STATUS, capabilities } });
      const on = { members: { on: true }, user_groups: { on: true }, user_group_members: { on: true } };
      const bare = { id: "bare", resource_type: "group", name: "Bare", entitlement_id: "group:bare:member", entitlements: [] };
      const empty = { "GET /v1/users": [person("idle", [])], "GET /v1/users/idle": person("idle", []), "GET /v1/roles": [NEW], "GET /v1/groups": [bare] };
      const not = async (text) => assert.equal(await page.getByText(text).count(), 0, text);
      const members = { on: false, message: "the members of user group x cannot be read (HTTP status 400); those known before are kept" };
      const kept = { on: false, message: "this account does not have user groups; what generation y says of them is kept", kept_from: "y" };
      const unreadable = (...first) => ({ on: true, unreadable: { count: first.length, first } });
      for (const [capabilities, why, gives] of [
        [{ ...on, user_group_members: members }, "the members of user group x cannot be read", "Nothing."],
        [{ ...on, user_groups: { on: false, message: "the API token may not read the user groups" } }, "may not read the user groups", "None that could be read."],
        [{ ...on, user_groups: kept }, "what generation y says", "None that could be read."],
        [{ ...on, members: unreadable("a record without an id: policies is missing") }, "1 of the members cannot be read in full", "Nothing."],
      ]) {
        const others = { ...empty, ...told(capabilities) };
        await come("roles/role%3Anew", others);
        await alert(why);
        await says("None that could be read, directly or through a group, as read at");
        await not("Nobody holds it");
        await come("groups/group%3Abare", others);
        await alert(why);
        await says("None that could be read, directly or through a group, as read at");
        await page.locator("h2:has-text('Gives') + .empty").filter({ hasText: gives }).waitFor();
        await not("Nobody holds it");
        await come("people/user%3Aidle", others);
        await alert(why);
        await page.locator(".empty").filter({ hasText: /^None that could be read\.$/ }).waitFor();
        await not("Nothing.");
        await come("matrix", others);
        await alert(why);
        await says("None that could be read.");
        await not("Nobody holds anything");
        await come("roles", others);
        await alert(why);
        await row("Brand New").filter({ hasText: "0+" }).waitFor();
        assert.deepEqual(await numbers("Brand New"), ["0+", "0+"]);
        await come("groups", others);
        await row("Bare").filter({ hasText: "0+" }).waitFor();
        assert.deepEqual(await numbers("Bare"), ["0+", gives === "Nothing." ? "0" : "0+"]);
        for (const [title, n] of [["Without members", 0], ["Giving nothing", gives === "Nothing." ? 1 : 0]]) {
          await choose(title);
          await settled();
          assert.equal(await row("Bare").count(), n, title);
        }
        await come("people", others);
        await row("idle@").filter({ hasText: "0+" }).waitFor();
        await choose("Holding nothing");
        await settled();
        assert.equal(await row("idle@").count(), 0);
      }
      // The control: all of it could be read, or there is none of it.
      const absent = { members: { on: true }, user_groups: { on: false, message: "this account does not have user groups (HTTP status 404)" } };
      for (const capabilities of [on, absent, { ...on, tokens: { on: false, message: "no tokens for you" } }]) {
        const others = { ...empty, ...told(capabilities) };
        await come("roles/role%3Anew", others);
        await says("Nobody holds it, directly or through a group, as read at");
        await not("None that could be read");
        await come("groups/group%3Abare", others);
        await says("Nobody holds it, directly or through a group, as read at");
        await says("Nothing.");
        await come("people/user%3Aidle", others);
        await says("Nothing.");
        await come("matrix", others);
        await says("Nobody holds anything that is known");
        await come("roles", others);
        await page.getByRole("status").filter({ hasText: /^1$/ }).waitFor();
        assert.deepEqual(await numbers("Brand New"), ["0", "0"]);
        for (const [view, title, name] of [["groups", "Without members", "Bare"], ["groups", "Giving nothing", "Bare"], ["people", "Holding nothing", "idle@"]]) {
          await come(view, others);
          await choose(title);
          await row(name).waitFor();
        }
        assert.equal(await page.getByRole("alert").count(), 0);
      }
      // Where all of those are named whose records cannot be read, the others are known.
      const [one, other] = ["1", "2"].map((digit) => ({ ...person(`p${digit}`, []), member_id: digit.repeat(32) }));
      const named = { ...told({ ...on, members: unreadable(`${one.member_id}: policies is missing`) }), "GET /v1/users": [one, other], "GET /v1/users/p1": one, "GET /v1/users/p2": other };
      await come("people", named);
      await row("p1@").filter({ hasText: "0+" }).waitFor();
      assert.deepEqual(await numbers("p2@"), ["0"]);
      await choose("Holding nothing");
      await row("p2@").waitFor();
      await settled();
      assert.equal(await row("p1@").count(), 0);
      await page.goto(`${base}/#/people/user%3Ap1`);
      await says("None that could be read.");
      await page.goto(`${base}/#/people/user%3Ap2`);
      await says("Nothing.");
      // Before that is told, and where it is not, nothing is said.
      for (const view of ["roles/role%3Anew", "groups/group%3Abare", "people/user%3Aidle", "matrix"]) {
        await come(view, { ...empty, "GET /v1/status": refuse(403, "no status for you") });
        await page.getByRole("alert").filter({ hasText: "no status for you" }).first().waitFor();
        for (const text of ["Nobody holds", "Nothing.", "None that could"]) await not(text);
      }
    },

    async "neither who can do what on a thing nor what a revoke leaves is all where user groups cannot be read"() {
      const off = { "GET /v1/status": { ...STATUS, capabilities: { user_groups: { on: false, message: "the API token may not read the user groups" } } } };
      const why = "Not all of this is known: the API token may not read the user groups";
      const nobody = { "GET /v1/resources/a.zone/access": [] };
      await come("resources/a.zone", { ...nobody, ...off });
      await alert(why);
      await come("people/user%3Ajohn", { ...john, ...off });
      await page.getByRole("button", { name: "Revoke Writer" }).click();
      await dialog.getByRole("alert").filter({ hasText: why }).waitFor();
      // Nobody is kept from taking access away for it.
      await enabled(revoke);
      // Before that is told, nothing is said to be all.
      const [resource, letResource] = late(ACCOUNT["GET /v1/status"]);
      await come("resources/a.zone", { ...nobody, "GET /v1/status": resource });
      await settled();
      await says("0, reading on…");
      assert.equal(await page.getByText("Nobody reaches it").count(), 0);
      letResource();
      await says("Nobody reaches it");
      assert.equal(await page.getByRole("alert").count(), 0);
      const [told, letTold] = late(ACCOUNT["GET /v1/status"]);
      await come("people/user%3Ajohn", { ...john, "GET /v1/status": told });
      await page.getByRole("button", { name: "Revoke Writer" }).click();
      await dialog.locator(".thought").waitFor();
      await settled();
      assert.ok(await revoke.isDisabled());
      letTold();
      await enabled(revoke);
      assert.equal(await page.getByText("Not all of this is known").count(), 0);
    },

    async "what was looked at is connected within ten minutes, and not after another run"() {
      const counts = { users: 1, invitations: 0, roles: 1, scoped_roles: 0, groups: 0, tokens: 0, entitlements: 1, grants: 1 };
      const after = (run) => ({ ...STATUS, generations: [{ generation: FIRST, published_at: "2026-08-21T00:00:00Z", counts }], connection: { ...STATUS.connection, last_run: { run, state: "done", mode: "dry_run", message: "" } } });
      const connect = page.getByRole("button", { name: "Connect", exact: true });
      let run = 1;
      const look = async () => {
        const said = page.getByRole("status").filter({ hasText: `Looked at by ${run + 1}.` });
        await page.getByRole("button", { name: "See what it would change" }).click();
        await said.waitFor();
      };
      await comeTo("now", FIRST, {
        "GET /v1/status": () => after(run),
        "GET /v1/days": [],
        "POST /v1/connect": () => ({ run: (run += 1), mode: "dry_run", state: "done", message: `Looked at by ${run}.`, lines: [], more: false }),
      });
      await connect.waitFor();
      assert.ok(await connect.isDisabled());
      await look();
      await enabled(connect);
      await minutes(8);
      await enabled(connect);
      await minutes(3);
      assert.ok(await connect.isDisabled(), "it was looked at too long ago");
      await look();
      await enabled(connect);
      run += 1;
      await minutes(1);
      assert.ok(await connect.isDisabled(), "somebody did another run since");
      assert.equal(counted()["POST /v1/connect"], 2);
    },

    async "what is on no list as it was read may be newer, and shows within a minute or so"() {
      await comeTo("roles/role%3Anew", FIRST);
      await says("It is not in the list of roles as read at");
      await says("It may be newer than that, or on no list.");
      assert.equal(await page.getByText("There is no").count(), 0);
      [answers["GET /v1/roles"], edition, asked] = [[...ACCOUNT["GET /v1/roles"], NEW], SECOND, []];
      await minutes(1);
      await heading("Brand New");
      await says("Nobody holds it, directly or through a group, as read at");
      assert.equal(counted()["HEAD /v1/groups"], 1);
      // What was granted since the generation shows as well.
      [answers["GET /v1/users"], edition] = [[person("jane", ["role:new:member"])], CHANGED];
      await minutes(1);
      await row("jane@").filter({ hasText: "directly" }).waitFor();
      await comeTo("groups/group%3Anew", FIRST);
      await says("It is not in the list of groups as read at");
      assert.equal(await page.getByText("There is no").count(), 0);
    },

    async "a newer state that any answer is of has the lists read again at once"() {
      await comeTo("people/user%3Ajohn", FIRST, john);
      await page.getByRole("link", { name: "Reader" }).waitFor();
      await page.getByRole("navigation").getByRole("link", { name: "People" }).click();
      await row("jane@").waitFor();
      Object.assign(answers, { "GET /v1/roles": [...ACCOUNT["GET /v1/roles"], NEW], "GET /v1/users/jane": person("jane", ["role:new:member"]), "GET /v1/users": [person("jane", ["role:new:member"])] });
      [edition, asked] = [SECOND, []];
      await row("jane@").getByRole("link").click();
      await page.locator(".grants").getByRole("link", { name: "Brand New" }).waitFor();
      await page.getByRole("navigation").getByRole("link", { name: "People" }).click();
      await page.getByRole("status").filter({ hasText: /^1$/ }).waitFor();
      assert.equal(await row("john@").count(), 0);
      const { "HEAD /v1/groups": heads, ...lists } = counted();
      assert.deepEqual([heads, lists["GET /v1/users"], lists["GET /v1/roles"]], [undefined, 1, 1], "each once");
      // An older answer, as KV may give it in another place, changes nothing.
      [edition, asked] = [FIRST, []];
      await minutes(3);
      assert.deepEqual(counted(), { "HEAD /v1/groups": 3 });
    },

    async "what somebody holds, what they gained and what was asked for them are of one state, as far as somebody has read on"() {
      const gain = (number, name) => ({ number, what: "gained", principal: "user:john", person: "john@example.com", entitlement: NEW.entitlement_id, name, seen_at: "2026-08-21T00:30:00Z", happened_at: null, cause: "operation", by: null });
      const gained = page.locator("h2:has-text('Gained and lost') ~ .journal").first().locator("bdi");
      await comeTo("people/user%3Ajohn", FIRST, { ...john, "GET /v1/roles": [...ACCOUNT["GET /v1/roles"], NEW] });
      await says("Nothing changed since the connector began to note changes.");
      await says("Nothing was asked yet.");
      await settled();
      Object.assign(answers, {
        "GET /v1/users/john": person("john", [GROUP, WRITER, NEW.entitlement_id]),
        "GET /v1/history": (params) => (params.has("cursor") ? { items: [gain(1, "Oldest")] } : { items: [gain(2, "Brand New")], next_cursor: "2" }),
        "GET /v1/operations": [operation(7, "john@example.com")],
      });
      edition = SECOND;
      await minutes(1);
      await page.getByRole("button", { name: "Revoke Brand New" }).waitFor();
      await page.locator(".journal summary").filter({ hasText: "john@" }).waitFor();
      assert.deepEqual(await gained.allTextContents(), ["Brand New"]);
      await page.getByRole("button", { name: "Earlier" }).click();
      await gained.filter({ hasText: "Oldest" }).waitFor();
      // What somebody looks at stays until as much of the newer state is there.
      const [rest, letRest] = late({ items: [gain(2, "Brand New"), gain(1, "Oldest")] });
      [answers["GET /v1/history"], edition] = [(params) => (params.has("cursor") ? rest() : { items: [gain(3, "Newest")], next_cursor: "2" }), CHANGED];
      await minutes(1);
      assert.deepEqual(await gained.allTextContents(), ["Brand New", "Oldest"]);
      letRest();
      await gained.filter({ hasText: "Newest" }).waitFor();
      assert.deepEqual(await gained.allTextContents(), ["Newest", "Brand New", "Oldest"]);
      // So it is with what each sync changed, with the syncs that there are to choose from, and between two days.
      const joan = { generation: SECOND, published_at: "2026-08-21T01:00:00Z", kind: "added", key: "user:joan", name: "joan@example.com", grants_added: [], grants_removed: [], fields: [] };
      const none = { items: [], begins_at: null, gaps: [] };
      await comeTo("changes", FIRST, { "GET /v1/history": none, "GET /v1/status": { ...ACCOUNT["GET /v1/status"], generations: [] } });
      await says("Nothing changed between the generations that are kept.");
      await settled();
      assert.equal(await page.getByLabel("to that of").count(), 0);
      Object.assign(answers, { "GET /v1/changes": [joan], "GET /v1/status": ACCOUNT["GET /v1/status"] });
      edition = SECOND;
      await minutes(1);
      await page.locator(".journal > li").filter({ hasText: "joan@" }).waitFor();
      await page.getByLabel("to that of").waitFor();
      await page.getByLabel("From the beginning of").fill("2026-08-20");
      await page.getByLabel("to the end of").fill("2099-08-21");
      await says("Nobody gained or lost anything between these days.");
      await settled();
      [answers["GET /v1/history"], edition] = [{ ...none, items: [gain(1, "Brand New")] }, CHANGED];
      await minutes(1);
      await says("1 has other access at the end than at the beginning");
      // What is shown stays where it cannot be read again, and what is over is not.
      [answers["GET /v1/history"], edition] = [refuse(403, "not any more"), `${SECOND}-8`];
      await minutes(1);
      await alert("not any more");
      await says("1 has other access at the end than at the beginning");
      answers["GET /v1/history"] = none;
      await page.getByLabel("From the beginning of").fill("2020-08-20");
      await page.getByLabel("to the end of").fill("2020-08-21");
      await says("Nobody gained or lost anything between these days.");
      await settled();
      [edition, asked] = [`${SECOND}-9`, []];
      await minutes(1);
      assert.deepEqual([counted()["GET /v1/history"], counted()["GET /v1/changes"]], [undefined, 1]);
    },

    async "rows stay in sight until those that take their place are all there"() {
      await comeTo("people", FIRST);
      await row("john@").waitFor();
      const [rest, letRest] = late([person("joan", [])]);
      [answers["GET /v1/users"], edition] = [(params) => (params.has("cursor") ? rest() : { items: [person("jane", [READER])], next_cursor: "2", generation: "2" }), SECOND];
      await minutes(1);
      await says("2, reading again…");
      assert.equal(await row("john@").count(), 1);
      letRest();
      await row("joan@").waitFor();
      await page.getByRole("status").filter({ hasText: /^2$/ }).waitFor();
      assert.equal(await row("john@").count(), 0);
    },

    async "a page that is left open asks once a minute, and one that is out of sight nothing"() {
      await comeTo("matrix", FIRST);
      await says("2 people");
      await settled();
      asked = [];
      await minutes(10);
      assert.deepEqual(counted(), { "HEAD /v1/groups": 10 });
      await hide(true);
      asked = [];
      await minutes(5);
      assert.deepEqual(counted(), {});
      await hide(false);
      await settled();
      assert.deepEqual(counted(), { "HEAD /v1/groups": 1 });
      // What nobody looks at is not read again before somebody does.
      await page.getByRole("navigation").getByRole("link", { name: "Operations" }).click();
      await heading("Operations");
      await settled();
      [edition, asked] = [SECOND, []];
      await minutes(3);
      assert.deepEqual(counted(), {});
      await page.getByRole("navigation").getByRole("link", { name: "Groups" }).click();
      await heading("Groups");
      await settled();
      const { "GET /v1/groups": groups, "GET /v1/roles": roles } = counted();
      assert.deepEqual([groups, roles], [1, undefined]);
    },

    async "findings, which follow a generation, are read once more a minute after it"() {
      await comeTo("people/user%3Ajohn", FIRST, john);
      await page.getByRole("link", { name: "Reader" }).waitFor();
      await minutes(2);
      [edition, asked] = [SECOND, []];
      await minutes(1);
      assert.equal(counted()["GET /v1/findings"], 1);
      await minutes(5);
      assert.equal(counted()["GET /v1/findings"], 2);
      assert.equal(counted()["GET /v1/groups"], 1, "a list that says what it is of is read once");
    },

    async "a list of many pages is not read again with every change"() {
      const pages = (params) => {
        const n = Number(params.get("cursor") ?? "1");
        return { items: [person(`p${n}`, [])], generation: edition, ...(n < 15 ? { next_cursor: String(n + 1) } : {}) };
      };
      await comeTo("people", FIRST, { "GET /v1/users": pages, "GET /v1/invitations": () => ({ items: [], generation: edition }) });
      await page.getByRole("status").filter({ hasText: /^15$/ }).waitFor();
      [edition, asked] = [SECOND, []];
      await minutes(1);
      assert.equal(counted()["GET /v1/users"], undefined);
      await minutes(1);
      assert.equal(counted()["GET /v1/users"], 15);
    },

    async "a state that was newer for a moment leaves no list that is read again for ever"() {
      const pages = (params) => {
        const n = Number(params.get("cursor") ?? "1");
        return { items: [person(`p${n}`, [])], generation: edition, ...(n < 15 ? { next_cursor: String(n + 1) } : {}) };
      };
      await comeTo("people", FIRST, { "GET /v1/users": pages, "GET /v1/invitations": () => ({ items: [], generation: edition }) });
      await page.getByRole("status").filter({ hasText: /^15$/ }).waitFor();
      await settled();
      [edition, asked] = [`${FIRST}-7`, []];
      await minutes(1);
      await says("15, reading again…");
      edition = FIRST;
      await minutes(1);
      await page.getByRole("status").filter({ hasText: /^15$/ }).waitFor();
      assert.equal(counted()["GET /v1/users"], undefined);
    },

    async "what is made of a list that rests and of one that is newer by now is not told as all"() {
      const pages = (params) => {
        const n = Number(params.get("cursor") ?? "1");
        return { items: [person(`p${n}`, [])], generation: edition, ...(n < 15 ? { next_cursor: String(n + 1) } : {}) };
      };
      const many = { "GET /v1/users": pages, "GET /v1/invitations": () => ({ items: [], generation: edition }) };
      const whole = () => page.getByRole("status").filter({ hasText: /^1$/ }).waitFor();
      await comeTo("groups", FIRST, many);
      await whole();
      assert.deepEqual(await numbers("Crew"), ["0", "2"]);
      await choose("Without members");
      await row("Crew").waitFor();
      // What was there stays, and of what is new nobody says that it has no members.
      const fresh = { id: "fresh", resource_type: "group", name: "Fresh", entitlement_id: "group:fresh:member", entitlements: [] };
      [answers["GET /v1/groups"], edition] = [[...crew, fresh], SECOND];
      await minutes(1);
      await says("1 of 2, reading again…");
      assert.deepEqual([await row("Crew").count(), await row("Fresh").count()], [1, 0]);
      await choose("All");
      await row("Crew").waitFor();
      assert.deepEqual(await numbers("Crew"), ["…", "2"]);
      await minutes(1);
      await page.getByRole("status").filter({ hasText: /^2$/ }).waitFor();
      assert.deepEqual(await numbers("Crew"), ["0", "2"]);
      await choose("Without members");
      await row("Fresh").waitFor();
      for (const [view, nobody] of [["roles/role%3Areader", "Nobody holds it"], ["matrix", "Nobody holds anything that is known"]]) {
        await comeTo(view, FIRST, many);
        await says(nobody);
        edition = SECOND;
        await minutes(1);
        await says("reading again…");
        assert.equal(await page.getByText(nobody).count(), 0);
        await minutes(1);
        await says(nobody);
      }
      // What is newer may be told while a list is read.
      const [rest, letRest] = late({ items: [person("john", [])], generation: "1" });
      await comeTo("groups", FIRST, { "GET /v1/users": (params) => (params.has("cursor") ? rest() : { items: [person("jane", [])], next_cursor: "2", generation: "1" }) });
      await row("Crew").waitFor();
      await settled();
      edition = SECOND;
      await minutes(1);
      letRest();
      await says("1, reading again…");
      assert.deepEqual(await numbers("Crew"), ["…", "2"]);
      await minutes(1);
      await whole();
      assert.deepEqual(await numbers("Crew"), ["0", "2"]);
    },

    async "a list that cannot be read keeps nobody from hearing of what is newer"() {
      await comeTo("roles/role%3Anew", FIRST, { "GET /v1/users": refuse(503, "not now") });
      await says("It is not in the list of roles as read at");
      await minutes(5);
      [answers["GET /v1/roles"], edition] = [[NEW], SECOND];
      await minutes(2);
      await heading("Brand New");
    },

    async "a Worker that is down for long is asked more and more seldom"() {
      await comeTo("what-if", FIRST, { "GET /v1/users": refuse(503, "not now"), "GET /v1/operations": refuse(503, "not now"), "GET /v1/users/john": refuse(503, "not now") });
      for (const [view, name] of [["people", "GET /v1/users"], ["operations", "GET /v1/operations"], ["people/user%3Ajohn", "GET /v1/users/john"]]) {
        asked = [];
        await page.goto(`${base}/#/${view}`);
        await settled();
        await alert("not now");
        for (let n = 0; n < 12; n += 1) {
          await page.clock.fastForward(5_000);
          await settled();
        }
        // At once, and then after 5, 10 and 20 seconds; after another 40 where the test itself took 15 seconds of them.
        const { [name]: times } = counted();
        assert.ok(times >= 4 && times <= 5, `${name}: ${times} times within a minute`);
      }
      Object.assign(answers, john);
      await minutes(1);
      await page.getByRole("heading", { name: "john@example.com" }).waitFor();
    },

    async "who is signed in is asked again by itself, as is what was too much at once, and no change is"() {
      await comeTo("people", FIRST, { "GET /session": BREAKS });
      await alert("The page tries again by itself.");
      await settled();
      answers["GET /session"] = refuse(429, "too much");
      await page.clock.fastForward(5_500);
      await alert("too much");
      await settled();
      Object.assign(answers, { "GET /session": ACCOUNT["GET /session"], "GET /v1/users": refuse(429, "too many") });
      await page.clock.fastForward(10_500);
      await alert("too many");
      await settled();
      answers["GET /v1/users"] = ACCOUNT["GET /v1/users"];
      await page.clock.fastForward(5_500);
      await row("jane@").waitFor();
      const removal = "DELETE /v1/roles/writer/members/john";
      await comeTo("people/user%3Ajohn", FIRST, { ...john, [removal]: refuse(429, "too many removals") });
      await page.getByRole("button", { name: "Revoke Writer" }).click();
      await revoke.click();
      await alert("too many removals");
      await minutes(2);
      assert.equal(counted()[removal], 1);
      // What is refused for good is asked again by who clicks.
      await comeTo("people", FIRST, { "GET /session": refuse(403, "not here") });
      await alert("not here");
      await minutes(2);
      assert.equal(counted()["GET /session"], 1);
      answers["GET /session"] = ACCOUNT["GET /session"];
      await page.getByRole("button", { name: "Try again" }).click();
      await row("jane@").waitFor();
    },

    async "who is gone is shown as nobody, though the list still has them"() {
      await come("people", { "GET /v1/users/john": refuse(404, "the snapshot has no user:john") });
      await row("john@").getByRole("link").click();
      await says("Nobody of that id is in the account as it was last read");
      assert.equal(await page.getByText("john@").count(), 0);
    },

    async "a finding that is accepted is not open any more in its person's view"() {
      const finding = { id: "f1", rule: "r", severity: "high", state: "open", title: "Too much", about: "user:john", name: "john", evidence: "all of it", since: "2026-08-21T00:30:00Z", accepted: null, remedy: "Less." };
      await come("people/user%3Ajohn", { ...john, "GET /v1/findings": [finding], "POST /v1/findings/f1/accept": {} });
      await says("Too much. all of it");
      await page.getByRole("navigation").getByRole("link", { name: "Findings" }).click();
      await page.getByRole("button", { name: /^Accept: / }).click();
      await dialog.getByText("all of it").waitFor();
      await page.getByLabel("Reason").fill("meant so");
      answers["GET /v1/findings"] = [];
      const sent = page.waitForRequest((request) => request.method() === "POST");
      await dialog.getByRole("button", { name: "Accept", exact: true }).click();
      assert.equal((await sent).postDataJSON().evidence, "all of it", "what is shown, and nothing that it may have grown to");
      await dialog.getByRole("status").filter({ hasText: "Accepted" }).waitFor();
      await page.getByRole("button", { name: "Close" }).click();
      await page.goto(`${base}/#/people/user%3Ajohn`);
      await says("Gained and lost");
      await settled();
      assert.equal(await page.getByText("Too much").count(), 0);
    },

    async "a run of a Worker that does not answer is followed with patience"() {
      const line = (n) => ({ n, what: "changed", text: `line ${n}` });
      const report = (more) => ({ run: 1, mode: "connect", state: "running", message: "It goes on", lines: [], more: false, ...more });
      await comeTo("now", FIRST, {
        "GET /v1/status": STATUS,
        "GET /v1/days": [],
        "GET /v1/connect": (params) => (params.has("after") ? refuse(503, "not now") : report({ lines: [line(1)], more: true })),
      });
      assert.equal(await page.getByText("What the last run did").count(), 0);
      answers["GET /v1/status"] = { ...STATUS, generations: [{ generation: FIRST, published_at: "2026-08-21T00:00:00Z", counts: { users: 1, invitations: 0, roles: 1, scoped_roles: 0, groups: 0, tokens: 0, entitlements: 1, grants: 1 } }] };
      await page.clock.fastForward(16_000);
      asked = [];
      await page.getByRole("button", { name: "What the last run did" }).click();
      await alert("not now");
      for (let n = 0; n < 20; n += 1) {
        await page.clock.fastForward(1_000);
        await settled();
      }
      // Twice at once, and then after 1, 2, 4 and 8 seconds; after another 16 where the test itself took 11 seconds of them.
      const { "GET /v1/connect": times } = counted();
      assert.ok(times >= 6 && times <= 7, `${times} times within 20 seconds`);
      answers["GET /v1/connect"] = report({ state: "done", message: "Connected.", lines: [line(2)] });
      await minutes(1);
      await page.getByRole("status").filter({ hasText: "Connected." }).waitFor();
      assert.deepEqual(await page.locator(".told li").allTextContents(), ["changed line 1", "changed line 2"]);
    },

    async "as of when the data is so is told as a time too, whatever the clock of whoever looks"() {
      const counts = { users: 1, invitations: 0, roles: 1, scoped_roles: 0, groups: 0, tokens: 0, entitlements: 1, grants: 1 };
      await come("now", { "GET /v1/status": { ...STATUS, generations: [{ generation: FIRST, published_at: "2026-08-21T12:00:00Z", counts }] }, "GET /v1/days": [] });
      const times = page.locator(".card.state p").filter({ hasText: "last found to be so" }).locator("time");
      await times.first().waitFor();
      assert.equal(await times.count(), 2);
      assert.match(await times.first().textContent(), /21.*2026|2026.*21/);
    },

    async "somebody whose status is not known, or who has accepted, is not said to be invited"() {
      const odd = invitation("odd", "other");
      await come("people", { "GET /v1/invitations": [invitation("waits", "pending"), odd, invitation("came", "accepted")], "GET /v1/invitations/odd": odd });
      await row("waits@").filter({ hasText: "invited" }).waitFor();
      await row("odd@").filter({ hasText: "other" }).waitFor();
      await row("came@").filter({ hasText: "accepted" }).waitFor();
      await choose("Invited");
      await row("waits@").waitFor();
      await settled();
      assert.equal(await rows().count(), 1);
      await page.goto(`${base}/#/people/invitation%3Aodd`);
      await page.locator("dd").filter({ hasText: /^other$/ }).waitFor();
      assert.equal(await page.getByText("not accepted yet").count(), 0);
    },

    async "no name turns the text around it, be it in a refusal or the doctor's"() {
      const [name, shown] = ["jane\u202emoc.elpmaxe", "jane\ufffdmoc.elpmaxe"];
      const counts = { users: 1, invitations: 0, roles: 1, scoped_roles: 0, groups: 0, tokens: 0, entitlements: 1, grants: 1 };
      await come("people", { "GET /v1/users": [{ ...person("jane", []), display_name: name }], "GET /v1/invitations": refuse(403, `no invitation of ${name}`) });
      await row(shown).waitFor();
      await alert(`no invitation of ${shown}`);
      await come("now", {
        "GET /v1/status": { ...STATUS, generations: [{ generation: FIRST, published_at: "2026-08-21T00:00:00Z", counts }] },
        "GET /v1/days": [],
        "GET /v1/export/users.csv": refuse(403, `no file of ${name}`),
        "GET /v1/doctor": { status: 503, body: { ok: false, checks: [{ name: "token", ok: false, required: true, message: `of ${name} is no more` }] } },
      });
      await page.getByRole("button", { name: "Examine now" }).click();
      await page.locator(".checks .bad").filter({ hasText: `of ${shown} is no more` }).waitFor();
      await page.getByRole("button", { name: "People as CSV" }).click();
      await alert(`no file of ${shown}`);
      answers["GET /v1/doctor"] = refuse(403, `the doctor is not for ${name}`);
      await page.getByRole("button", { name: "Examine now" }).click();
      await alert(`the doctor is not for ${shown}`);
      assert.ok(!(await page.locator("body").innerText()).includes("\u202e"));
    },

    async "what has no view of its own leads nowhere"() {
      const way = (more) => ({ resource_key: "zone", principal_type: "user", principal_id: "jane", email: "jane@example.com", display_name: "", entitlement_id: READER, role: "Reader", reach: "object", group_id: "", group_name: "", ...more });
      await come("resources/zone", { "GET /v1/resources/zone/access": [way({}), way({ principal_id: "john", email: "john@example.com", entitlement_id: "", role: "Denied: Reader" }), way({ principal_type: "something", principal_id: "x", email: "who@example.com", role: "Writer", entitlement_id: WRITER })] });
      await row("Denied: Reader").waitFor();
      assert.equal(await page.getByRole("link", { name: "Reader", exact: true }).getAttribute("href"), "#/roles/role%3Areader");
      assert.equal(await page.getByRole("link", { name: "Denied" }).count(), 0);
      assert.equal(await page.getByRole("link", { name: "who@" }).count(), 0);
      assert.equal(await page.locator(".rows a").count(), 4);
    },
  };
  for (const [what, part] of Object.entries(parts)) {
    try {
      await part();
    } catch (error) {
      console.log(`it is not so that ${what}`);
      throw error;
    }
  }
}
