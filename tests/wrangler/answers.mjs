// Answers that a test chooses in place of the Worker's, so that each is late, refused or another one when the test wants it: what the page says
// meanwhile is to be so. The page's own files are those of build/page, and no Worker runs.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const [READER, WRITER, GROUP] = ["role:reader:member", "role:writer:member", "group:crew:member"];
const person = (id, entitlements) => ({ id, resource_type: "user", member_id: id, email: `${id}@example.com`, display_name: "", status: "accepted", active: true, two_factor: null, entitlements });
const invitation = (id) => ({ ...person(id, []), resource_type: "invitation" });
const operation = (id, email) => ({ id, state: "settled", email, request: { action: "grant", origin: { by: "page" }, subject: { emails: [email] } }, attempts: 1, trail: [], received_at: "2026-08-21T00:30:00Z" });
const job = (more) => ({ kind: "findings", subject: "1", state: "done", attempts: 0, last_done_at: "2026-08-21T00:30:00Z", ...more });
const refuse = (status, detail) => ({ status, body: { code: "of_the_test", detail } });

/** What each route answers, unless a test says otherwise; a list is one page of the first generation. */
const ACCOUNT = {
  "GET /session": { right: "full", ends_at: "2026-08-21T00:30:00Z" },
  "DELETE /session": {},
  "GET /v1/users": [person("jane", [READER]), person("john", [GROUP, WRITER])],
  "GET /v1/invitations": [],
  "GET /v1/roles": [{ id: "reader", resource_type: "role", name: "Reader", entitlement_id: READER }, { id: "writer", resource_type: "role", name: "Writer", entitlement_id: WRITER }],
  "GET /v1/scoped-roles": [],
  "GET /v1/groups": [{ id: "crew", resource_type: "group", name: "Crew", entitlement_id: GROUP, entitlements: [READER, WRITER] }],
  "GET /v1/tokens": [],
  "GET /v1/findings": [],
  "GET /v1/operations": [],
  "GET /v1/history": [],
  "GET /v1/changes": [],
  "GET /v1/status": { jobs: [job()], generations: [{ generation: "2", published_at: "2026-08-21T01:00:00Z" }, { generation: "1", published_at: "2026-08-21T00:00:00Z" }] },
  "GET /v1/what-if": { line: "They would get it.", entitlement_id: READER, changes: true, removes_member: false, refused_by: null, gains: [], loses: [], findings: { opens: [], closes: [] } },
};

export async function told({ page, base, heading }) {
  let answers;
  page.setDefaultTimeout(20_000);
  await page.route(`${base}/**`, async (route) => {
    const request = route.request();
    const { pathname, search } = new URL(request.url());
    if (!/^\/(v1|session)/.test(pathname)) return route.fulfill({ path: new URL(`../../build/page${pathname === "/" ? "/index.html" : pathname}`, import.meta.url).pathname });
    const name = `${request.method()} ${pathname}`;
    const answer = answers[name] ?? refuse(404, `the test has no answer to ${name}`);
    const found = await (typeof answer === "function" ? answer(new URLSearchParams(search)) : answer);
    const { status, body } = found.status === undefined || found.body === undefined ? { status: 200, body: found } : found;
    // Who left the view does not wait for it any more.
    return route.fulfill({ status, json: Array.isArray(body) ? { items: body, generation: "1" } : body }).catch(() => undefined);
  });
  /** Comes to a view for the first time, with these answers in place of the account's. */
  const come = async (view, others = {}) => {
    await page.goto("about:blank");
    answers = { ...ACCOUNT, ...others };
    await page.goto(`${base}/#/${view}`);
  };
  /** An answer that comes once it is let go. */
  const late = (answer) => {
    let letGo;
    const gate = new Promise((resolve) => (letGo = resolve));
    return [() => gate.then(() => answer), letGo];
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
  /** Lets the page show what it was answered. */
  const settled = () => page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 250)));

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
      assert.ok(await revoke.isEnabled());
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
      const jobs = (more) => ({ "GET /v1/status": { jobs: [job(more)] } });
      await come("findings", jobs({}));
      await says("Nothing is found wrong, as of");
      await come("findings", jobs({ state: "due", attempts: 3, message: "out of reach" }));
      await alert(/could not be looked through since .*, when nothing was found wrong: out of reach/);
      assert.equal(await page.getByText("is found wrong").count(), 0);
      await come("findings", jobs({ state: "failed", attempts: 18, message: "out of reach", last_done_at: null }));
      await alert("could not be looked through: out of reach");
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
