// Goes through the page at / in a real browser, as a person does: node tests/wrangler/page.mjs <scenario>. tests/wrangler/page.rs starts it.
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { chromium } from "playwright-core";
import { told } from "./answers.mjs";

const { PAGE, TOKEN, READ_TOKEN, PEOPLE, GUARDED, SCREENSHOTS, SET_THE_REST } = process.env;
const BROWSERS = [process.env.CHROME, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"];
const executablePath = BROWSERS.find((path) => path && existsSync(path));
assert(executablePath, "no Chromium is installed: run make setup, or set CHROME to the program of a Chromium or Chrome");

const axe = readFileSync(new URL("../../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
// A browser that runs as root, as in a container, has no sandbox of its own.
const browser = await chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] });
const SIZE = { width: 1360, height: 900 };
const context = await browser.newContext({ viewport: SIZE, timezoneId: "Europe/Berlin" });
context.setDefaultTimeout(120_000);
const page = await context.newPage();
const faults = [];
page.on("pageerror", (error) => faults.push(`script: ${error.message}`));
page.on("console", (message) => {
  if (/Content Security Policy|Refused to/.test(message.text())) faults.push(message.text());
});
page.on("request", (request) => {
  const { protocol, origin } = new URL(request.url());
  if (protocol !== "blob:" && origin !== PAGE) faults.push(`a request to ${request.url()}`);
});

// What the Worker refused, what broke off, and what has no answer, for whoever reads why a scenario failed.
const refused = [];
const unanswered = new Map();
page.on("request", (request) => unanswered.set(request, `${new Date().toISOString()} ${request.method()} ${request.url()}`));
for (const end of ["requestfinished", "requestfailed"]) page.on(end, (request) => unanswered.delete(request));
page.on("requestfailed", (request) => refused.push(`${new Date().toISOString()} ${request.method()} ${request.url()}: ${request.failure()?.errorText}`));
page.on("response", async (response) => {
  if (response.status() < 400) return;
  const said = await response.text().catch(String);
  refused.push(`${new Date().toISOString()} ${response.request().method()} ${response.url()}: ${response.status()} ${said.slice(0, 300)}`);
});

const heading = (name) => page.getByRole("heading", { name, exact: true }).waitFor();
const follow = (view) => page.getByRole("navigation").getByRole("link", { name: view, exact: true }).click();
/** Goes to a view, and waits until it has taken the place of the one before. */
const go = async (view) => {
  await follow(view);
  await heading(view);
};
/** A picture for the README: small enough to load with it. */
async function picture(name) {
  await page.setViewportSize({ width: 1120, height: 640 });
  await shot(`readme-${name}`);
  await page.setViewportSize(SIZE);
}
const shot = (name) => page.screenshot({ path: `${SCREENSHOTS}/${name}.png` });

/** Loads the page anew; once more where a browser that is short of processor time has not done so, with what had no answer then. */
async function reload() {
  try {
    await page.reload({ timeout: 40_000 });
  } catch (error) {
    console.log(`once more: ${error.message}`, [...unanswered.values()]);
    await page.reload();
  }
}

async function accessible(where) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run({ resultTypes: ["violations"] }));
  assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`), [], where);
}

async function signIn(token) {
  await page.getByLabel("Token of the connector").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
}

/** Runs a sync to its end. */
async function sync() {
  await page.getByRole("button", { name: "Sync now" }).waitFor();
  const last = page.getByText("Last sync");
  const before = (await last.count()) === 0 ? "" : await page.locator(".card.state time").first().getAttribute("datetime");
  await page.getByRole("button", { name: "Sync now" }).click();
  await page.waitForFunction((before) => {
    const time = document.querySelector(".card.connected time");
    return time !== null && document.querySelector("progress") === null && time.getAttribute("datetime") !== before;
  }, before);
}

/**
 * Confirms what the open dialog asks, until it says that it is done. Where it says that it could not be, it is looked at and confirmed again, as a person
 * does, and what was done by then all the same is told as that.
 */
async function confirm(act, done) {
  const dialog = page.getByRole("dialog");
  const [button, close] = [act, "Close"].map((name) => dialog.getByRole("button", { name, exact: true }));
  let again = 0;
  for (; again < 3; again += 1) {
    await button.click();
    // It says that it is at work, or is through already.
    await button.waitFor({ state: "detached", timeout: 5_000 }).catch(() => undefined);
    await button.or(close).first().waitFor();
    if ((await close.count()) > 0) break;
    console.log(`again, at ${new Date().toISOString()}: ${await dialog.getByRole("alert").allInnerTexts()}`);
  }
  const said = await dialog.getByRole("status").innerText();
  assert.match(said, again === 0 ? done : new RegExp(`${done.source}|nothing was changed`));
}

/** Opens somebody's own view by searching the list. */
async function open(email) {
  await go("People");
  await page.getByRole("searchbox").fill(email);
  // A row that is drawn anew between the press and the release of a button takes no click, and whoever clicked does so again; what has led on has to come.
  for (let times = 0; !/#\/people\/./.test(page.url()); times += 1) {
    assert.ok(times < 3, `${email} leads nowhere`);
    if (times > 0) console.log(`again, at ${new Date().toISOString()}: ${email}`);
    await page.getByRole("link", { name: email, exact: true }).click();
    await page.waitForURL(/#\/people\/./, { timeout: 5_000 }).catch(() => undefined);
  }
  await page.getByText("What was asked of the connector").waitFor();
}

const scenarios = {
  "told-as-it-is": () => told({ page, base: PAGE, heading }),

  async "first-run"() {
    await page.goto(PAGE);
    await heading("Not set up yet");
    // What is there has its mark; what is missing and what cannot be has a place and a command.
    await page.getByRole("status").filter({ hasText: "1 of 4" }).waitFor();
    await page.getByRole("listitem").filter({ hasText: "Done:" }).getByText("CLOUDFLARE_ACCOUNT_ID").waitFor();
    for (const missing of ["CLOUDFLARE_API_TOKEN", "CONNECTOR_TOKEN", "C1_TENANT"]) {
      await page.getByRole("listitem").filter({ hasText: "To do:" }).getByText(missing, { exact: true }).waitFor();
    }
    await page.getByText("npx wrangler secret put CLOUDFLARE_API_TOKEN").waitFor();
    await page.getByText("must be the tenant's host alone").waitFor();
    await accessible("set-up");
    await shot("set-up");
    // Once the rest is there, it goes on by itself.
    writeFileSync(SET_THE_REST, "");
    await signIn(TOKEN);
    await heading("Now");
    await page.getByText("Nothing was read yet").waitFor();
    // Where nobody looked, nobody says that all is well.
    await go("Findings");
    await page.getByText("was not looked through yet").waitFor();
    await go("Now");
    await sync();

    // The first change, and who made it.
    await go("People");
    await page.locator(".rows a").first().click();
    await page.getByRole("button", { name: "Grant…" }).click();
    const grant = page.getByRole("dialog").getByRole("button", { name: "Grant", exact: true });
    assert.ok(await grant.isDisabled(), "nothing is granted before it is told what that changes");
    // All groups may be there before the first role is.
    const role = await page.getByRole("combobox").locator('option[value^="role:"]').first().getAttribute("value");
    await page.getByRole("combobox").selectOption(role);
    await page.getByRole("dialog").locator(".thought").waitFor();
    await confirm("Grant", /Granted/);
    await page.getByRole("button", { name: "Close" }).click();
    const person = page.url();
    await go("Now");
    await sync();
    await go("Changes");
    await page.locator(".journal .added").first().waitFor();
    const day = await page.evaluate(() => new Intl.DateTimeFormat("sv").format(new Date()));
    await page.getByLabel("From the beginning of").fill(day);
    await page.getByLabel("to the end of").fill(day);
    await page.getByRole("status").filter({ hasText: "1 has other access" }).waitFor();
    await page.locator(".journal li li").filter({ hasText: "through page" }).getByRole("link", { name: /^\d+$/ }).click();
    await page.getByRole("heading", { name: /^Operation \d+$/ }).waitFor();
    await page.locator(".journal details[open] ol li").first().waitFor();
    await page.goBack();
    await page.getByLabel("From the beginning of").fill(day);
    await page.getByLabel("to the end of").fill(day);
    await page.locator(".journal li li").first().waitFor();
    await accessible("changes between two days");
    await shot("between-days");
    await page.getByLabel("to the end of").fill("2020-01-01");
    await page.getByRole("alert").filter({ hasText: "before the last" }).waitFor();
    // Between any two syncs: the newest, and the one before.
    const [earlier, later] = [page.getByLabel("Or from the sync of"), page.getByLabel("to that of")];
    await later.selectOption({ index: 1 });
    await earlier.selectOption({ index: 2 });
    assert.equal(await page.getByLabel("to the end of").inputValue(), "", "two syncs put the two days away");
    await page.getByRole("status").filter({ hasText: "otherwise after the later sync" }).waitFor();
    await page.locator(".journal .added").first().waitFor();
    await accessible("changes between two syncs");
    await later.selectOption({ index: 2 });
    await page.getByRole("alert").filter({ hasText: "first sync has to be before" }).waitFor();
    await page.getByRole("button", { name: "All changes" }).click();
    await page.getByText("What each sync found changed").waitFor();
    await page.goto(person);
    await page.locator(".journal .added").first().waitFor();
    assert.match(await page.locator(".journal .added ~ time").first().getAttribute("title"), /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$/);

    // ConductorOne's entitlements are pointed here once it was told what that changes, and go back.
    await go("Now");
    const connect = page.getByRole("button", { name: "Connect", exact: true });
    const said = (text) => page.getByRole("status").filter({ hasText: text }).waitFor();
    assert.ok(await connect.isDisabled(), "nothing is connected before it is told what that changes");
    await page.getByRole("button", { name: "See what it would change" }).click();
    await said("1 entitlements would be changed");
    await page.getByLabel("Id of the app").fill("2another");
    assert.ok(await connect.isDisabled(), "what was told was told of another app");
    await page.getByLabel("Id of the app").fill("");
    await connect.click();
    await said("Connected: 1 entitlements changed");
    await page.getByText("1 entitlement was pointed here then").waitFor();
    await accessible("connected to ConductorOne");
    await page.getByRole("button", { name: "Put back…" }).click();
    await page.getByRole("button", { name: "Yes, put back what was there before" }).click();
    await said("Disconnected: 1 entitlements are as they were before");
    await reload();
    await page.getByRole("button", { name: "What the last run did" }).click();
    await said("Disconnected: 1 entitlements are as they were before");
  },

  /** Prints how long the first row, and then the last, takes to be there: each time as a reader who comes for the first time. */
  async "first-row"() {
    await page.goto(PAGE);
    await signIn(TOKEN);
    await page.getByRole("button", { name: "Sync now" }).click();
    await page.getByRole("heading", { name: "Connected" }).waitFor({ timeout: 3_000_000 });
    await go("People");
    for (let turn = 1; turn <= 5; turn += 1) {
      const began = Date.now();
      await reload();
      await page.locator(".rows a").first().waitFor();
      const first = Date.now() - began;
      await page.getByRole("status").filter({ hasText: /^[\d,]+$/ }).waitFor({ timeout: 300_000 });
      console.log(`${turn}: the first row after ${first} ms, ${await page.getByRole("status").textContent()} people after ${Date.now() - began} ms`);
    }
  },

  async account() {
    const headers = (await page.goto(PAGE)).headers();
    const policy = headers["content-security-policy"];
    assert.match(policy, /default-src 'none'/);
    assert.match(policy, /frame-ancestors 'none'/);
    assert.ok(!policy.includes("unsafe"), policy);
    assert.equal(headers["referrer-policy"], "no-referrer");
    assert.match(headers["strict-transport-security"], /max-age=\d{8}/);
    // The shell itself has nothing of the account, and a wrong token opens nothing.
    await signIn("not-the-token-0123456789abcdef0123456789");
    await page.getByRole("alert").filter({ hasText: "not CONNECTOR_TOKEN" }).waitFor();
    await accessible("sign-in");
    await signIn(TOKEN);
    await heading("Now");
    await page.getByText("Nothing was read yet").waitFor();
    await page.getByRole("button", { name: "Sync now" }).click();
    await page.getByRole("progressbar").waitFor();
    await page.getByRole("heading", { name: "Connected" }).waitFor({ timeout: 300_000 });
    const numbers = await page.locator(".numbers dd").allTextContents();
    const [users, invitations] = numbers.map((text) => Number(text.replaceAll(/\D/g, "")));
    assert.equal(users + invitations, Number(PEOPLE));
    await page.getByRole("button", { name: "Examine now" }).click();
    await page.getByText("the API token is active").waitFor();
    await accessible("Now");
    await shot("now");
    await picture("now");

    // Five thousand people: all are there, and only those in sight are drawn.
    await go("People");
    const all = page.getByRole("status").filter({ hasText: new RegExp(`^${Number(PEOPLE).toLocaleString("en")}$`) });
    await all.waitFor();
    const began = Date.now();
    await reload();
    await page.locator(".rows a").first().waitFor();
    console.log(`first row after ${Date.now() - began} ms`);
    await all.waitFor();
    assert.ok((await page.locator(".rows .row").count()) < 120);
    const toTheEnd = async () => {
      await page.locator(".rows").evaluate((rows) => rows.scrollTo(0, rows.scrollHeight));
      await page.locator(`.rows [aria-rowindex="${Number(PEOPLE) + 1}"]`).waitFor();
    };
    await toTheEnd();
    // A search from there on shows what it finds.
    await page.getByRole("searchbox").fill("hostile1@");
    await page.getByRole("link", { name: "hostile1@example.com", exact: true }).waitFor();
    await page.getByRole("searchbox").fill("");
    await all.waitFor();
    await toTheEnd();
    const byHeld = page.getByRole("columnheader", { name: "Holds" });
    await byHeld.getByRole("button").click();
    const fewest = Number(await page.locator('.rows [aria-rowindex="2"] .numeric').textContent());
    await byHeld.getByRole("button").click();
    await byHeld.and(page.locator("[aria-sort=descending]")).waitFor();
    await page.locator(".rows").evaluate((rows) => rows.scrollTo(0, 0));
    const held = (await page.locator(".rows [aria-rowindex]:not(.head *) .numeric").allTextContents()).map(Number);
    assert.deepEqual(held, held.toSorted((one, other) => other - one));
    // Those in sight may all hold as many.
    assert.ok(held[0] > fewest, `the first holds ${held[0]}, the last ${fewest}`);
    await page.getByRole("combobox").selectOption("Without a second factor");
    await page.getByRole("status").filter({ hasText: /^[\d,]+ of [\d,]+$/ }).waitFor();
    const factors = await page.locator(".rows [aria-rowindex]:not(.head *) > :nth-child(4)").allTextContents();
    assert.deepEqual([...new Set(factors)], ["no"]);
    await accessible("People");
    await shot("people");
    await picture("people");
    // On paper there are more than those in sight.
    const [before, printed] = await page.evaluate(() => {
      const rows = () => document.querySelectorAll(".rows .row").length;
      const seen = rows();
      dispatchEvent(new Event("beforeprint"));
      return [seen, rows()];
    });
    assert.ok(printed > 5 * before, `${printed} rows on paper, ${before} on the screen`);
    await page.evaluate(() => dispatchEvent(new Event("afterprint")));
    assert.ok((await page.locator(".rows .row").count()) < 120);

    // Names are text, whatever they hold.
    for (const n of [0, 1, 2]) {
      await open(`hostile${n}@example.com`);
      await accessible(`hostile ${n}`);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "a long name does not push the page apart");
      await shot(`hostile${n}`);
    }
    await open("hostile1@example.com");
    assert.match(await page.locator("h1").textContent(), /^\ufffdgnp\.elif/, "a name is not turned around");

    // A grant, which the journal keeps as the page's, and its revoke.
    await open("hostile0@example.com");
    await page.getByRole("button", { name: "Grant…" }).click();
    for (const kind of ["role", "group"]) await page.getByRole("combobox").locator(`option[value^="${kind}:"]`).first().waitFor({ state: "attached" });
    const choices = await page.getByRole("combobox").evaluate((select) => [...select.options].map(({ text }) => text));
    assert.ok(choices.some((text) => text.endsWith(" (group)")), "a group can be granted too");
    const role = choices.find((text) => text.includes("Read") && !text.endsWith(" (group)"));
    await page.getByRole("combobox").selectOption(role);
    // What it would change is said before it is done.
    await page.getByRole("dialog").locator(".thought").filter({ hasText: "would get" }).waitFor();
    await accessible("grant");
    await shot("grant");
    await confirm("Grant", /Granted/);
    await page.getByRole("button", { name: "Close" }).click();
    await page.locator(".grants").getByRole("link", { name: role, exact: true }).waitFor();
    await page.locator(".journal summary").filter({ hasText: "Granted" }).click();
    await page.getByText(/by page/).waitFor();
    await page.getByRole("button", { name: `Revoke ${role}`, exact: true }).click();
    await page.getByRole("dialog").locator(".thought").waitFor();
    await confirm("Revoke", /Revoked/);
    await page.getByRole("button", { name: "Close" }).click();
    await page.locator(".grants").getByRole("link", { name: role, exact: true }).waitFor({ state: "detached" });

    // An invitation is foreseen once the address is typed, and then sent.
    await go("People");
    await page.getByRole("button", { name: "Invite…" }).click();
    await page.getByLabel("E-mail address").fill("somebody.new@example.com");
    await page.getByLabel("E-mail address").blur();
    await page.getByRole("dialog").locator(".thought").filter({ hasText: "would be invited with" }).waitFor();
    await accessible("invite");
    await confirm("Invite", /Invited/);
    await page.getByRole("button", { name: "Close" }).click();

    // Somebody invited has an id of another form.
    await go("People");
    await page.getByRole("combobox").selectOption("Invited");
    await page.locator(".rows a").first().click();
    await page.getByRole("button", { name: "Cancel the invitation…" }).click();
    await confirm("Cancel the invitation", /Cancel/);
    await page.getByRole("button", { name: "Close" }).click();

    // A guard's own sentence.
    await open(GUARDED);
    await page.getByRole("button", { name: "Remove from the account…" }).click();
    await page.getByRole("dialog").getByRole("alert").filter({ hasText: "It would be refused" }).filter({ hasText: "PROTECTED_MEMBERS" }).waitFor();
    await page.getByRole("dialog").getByRole("button", { name: "Remove", exact: true }).click();
    await page.getByRole("dialog").getByRole("alert").locator("code", { hasText: /^protected_member$/ }).waitFor();
    await accessible("refused");
    await shot("refused");
    await page.getByRole("button", { name: "Cancel" }).click();

    // Somebody leaves.
    await open("hostile2@example.com");
    await page.getByRole("button", { name: "Remove from the account…" }).click();
    await page.getByRole("dialog").locator(".thought").waitFor();
    await confirm("Remove", /Removed/);
    await page.getByRole("button", { name: "Close" }).click();

    for (const view of ["Roles and scopes", "Groups", "Tokens", "Matrix", "Findings", "Changes", "Operations", "What if"]) {
      await go(view);
      await page.waitForLoadState("networkidle");
      await accessible(view);
      await shot(view.toLowerCase().replaceAll(" ", "-"));
    }
    await go("Roles and scopes");
    await page.getByRole("combobox").selectOption("Held by somebody");
    await page.locator(".rows a").first().click();
    await page.getByText("Who holds it").waitFor();
    await page.locator(".rows a").first().waitFor();
    await accessible("a role");
    // A role on a scope, what that reaches, and who else can do something there.
    await go("Roles and scopes");
    await page.getByRole("combobox").selectOption("On a scope");
    await page.getByRole("searchbox").fill("example");
    await page.locator(".rows a").first().click();
    await page.locator(".reaches a").first().click();
    await heading("Who can do what");
    await page.locator(".rows a").first().waitFor();
    await accessible("a resource");
    await shot("resource");
    await go("Groups");
    await page.getByRole("searchbox").fill("<img");
    await page.locator(".rows a").filter({ hasText: "<img" }).first().click();
    await page.getByRole("heading", { name: "Members" }).waitFor();
    await page.locator(".grants a").first().waitFor();
    await accessible("a group");
    await go("Tokens");
    await page.getByRole("searchbox").fill("<img");
    await page.locator(".rows a").filter({ hasText: "<img" }).first().click();
    await page.getByRole("heading", { name: "What it may do" }).waitFor();
    // What is known by the day is shown as that day, whatever zone the reader is in.
    await page.getByText("2026-08-21", { exact: true }).waitFor();
    await accessible("a token");
    await go("Roles and scopes");
    await page.getByRole("combobox").selectOption("On a scope");
    await page.getByRole("searchbox").fill("<img");
    await page.locator(".rows a").filter({ hasText: "<img" }).first().click();
    await page.locator(".reaches a").first().click();
    await heading("Who can do what");
    await page.getByRole("searchbox").fill("hostile0@");
    await page.locator(".rows a").filter({ hasText: "hostile0@" }).first().waitFor();
    assert.notEqual(await page.title(), "owned", "a name is nowhere anything but a text");

    // What is found wrong, and what is accepted for a reason.
    await go("Findings");
    const accept = page.getByRole("button", { name: /^Accept: / }).first();
    const accepted = (await accept.getAttribute("aria-label")).split(", ").pop();
    await accept.click();
    await page.getByLabel("Reason").fill("kept in the safe");
    await confirm("Accept", /Accepted/);
    await page.getByRole("button", { name: "Close" }).click();
    await page.getByRole("combobox").selectOption("Accepted");
    await page.getByText("kept in the safe").waitFor();
    assert.ok((await page.locator(".finding").textContent()).includes(accepted));
    await accessible("accepted");

    // Dark, and by the keyboard alone.
    await page.emulateMedia({ colorScheme: "dark" });
    await go("Now");
    await accessible("dark");
    await shot("dark");
    await page.keyboard.press("Tab");
    await page.locator(":focus-visible").waitFor();
    /** Goes on by the keyboard until something of that name has the focus. */
    const reach = async (name) => {
      for (let n = 0; n < 60; n += 1) {
        await page.keyboard.press("Tab");
        if ((await page.evaluate(() => document.activeElement?.textContent?.trim())) === name) return;
      }
      assert.fail(`the keyboard does not reach ${name}`);
    };
    await reload();
    await heading("Now");
    await reach("People");
    await page.keyboard.press("Enter");
    await heading("People");
    await page.locator(".rows a").first().waitFor();
    await reach("Invite…");
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await reach("Status");
    await page.keyboard.press("Space");
    await page.getByRole("columnheader", { name: "Status" }).and(page.locator("[aria-sort=ascending]")).waitFor();

    // What is changed by another way than this page shows without a reload, once the page asks whether there is something newer.
    await page.clock.install();
    await reload();
    await go("People");
    await page.getByRole("searchbox").fill("hostile0@");
    const holds = () => page.locator('.rows [aria-rowindex="2"] .numeric').textContent();
    await page.getByRole("status").filter({ hasText: /^1 of [\d,]+$/ }).waitFor();
    const heldBefore = Number(await holds());
    const heads = [];
    page.on("request", (request) => request.method() === "HEAD" && heads.push(request.url()));
    const granted = await page.evaluate(async () => {
      const ask = async (method, path) => (await fetch(path, { method, headers: { "X-Connector-Page": "1" } })).json();
      const { items: roles } = await ask("GET", "/v1/roles?limit=1000");
      let cursor = "";
      let somebody;
      while (somebody === undefined) {
        const { items, next_cursor } = await ask("GET", `/v1/users?limit=1000${cursor}`);
        somebody = items.find(({ email }) => email === "hostile0@example.com");
        cursor = `&cursor=${encodeURIComponent(next_cursor)}`;
      }
      const wanted = roles.find(({ grantable, entitlement_id }) => grantable && !somebody.entitlements.includes(entitlement_id));
      return (await ask("PUT", `/v1/roles/${wanted.id}/members/${somebody.id}`)).status;
    });
    assert.equal(granted, "granted");
    // On a slow machine a minute may be over by then.
    if (heads.length === 0) assert.equal(Number(await holds()), heldBefore);
    await page.clock.fastForward(60_500);
    await page.waitForFunction((before) => Number(document.querySelector('.rows [aria-rowindex="2"] .numeric')?.textContent) === before + 1, heldBefore);
    assert.ok(heads.length >= 1, "nothing else had it read again");

    // Offline it says so, and goes on by itself.
    await context.setOffline(true);
    await go("Operations");
    await page.getByRole("alert").filter({ hasText: "cannot be reached" }).waitFor();
    await context.setOffline(false);
    await page.locator(".journal > li").first().waitFor();
    assert.equal(await page.getByRole("alert").count(), 0);

    // A Worker that says nothing is given up, told, and asked again.
    await page.evaluate(() => {
      window.patience = AbortSignal.timeout;
      AbortSignal.timeout = (millis) => window.patience.call(AbortSignal, millis / 100);
    });
    let asked = 0;
    await page.route("**/v1/status", (route) => ((asked += 1) === 1 ? undefined : route.continue()));
    await go("Now");
    const silent = page.getByRole("alert").filter({ hasText: "has not answered within 30 seconds" });
    await silent.waitFor();
    await page.evaluate(() => void (AbortSignal.timeout = window.patience));
    // The page asks again by itself.
    await page.clock.fastForward(15_500);
    await silent.waitFor({ state: "detached" });
    await page.getByRole("heading", { name: "Connected" }).waitFor();
    assert.ok(asked > 1);
    await page.unroute("**/v1/status");

    // A session that ended leads to the sign-in; so does signing out, after which nothing is left.
    await context.clearCookies();
    await follow("Changes");
    await page.getByRole("button", { name: "Sign in" }).waitFor();
    const entry = page.getByRole("link", { name: "Sign in with Cloudflare Access" });
    assert.equal(await entry.getAttribute("href"), "/session/access", "the other way in is told again");
    await signIn(READ_TOKEN);
    await page.getByText("reads, until").waitFor();
    await open("hostile0@example.com");
    assert.equal(await page.getByRole("button", { name: /Grant|Revoke|Remove/ }).count(), 0);
    const status = await page.evaluate(() => fetch("/v1/sync", { method: "POST", headers: { "X-Connector-Page": "1" } }).then(({ status }) => status));
    assert.equal(status, 403, "a session that reads changes nothing, whatever the page shows");
    const bare = await page.evaluate(() => fetch("/v1/users").then(({ status }) => status));
    assert.equal(bare, 403, "the cookie alone, as another site could have it sent, opens nothing");
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("button", { name: "Sign in" }).waitFor();
    assert.deepEqual((await context.cookies()).map(({ name }) => name), []);
  },
};

try {
  await scenarios[process.argv[2]]();
  assert.deepEqual(faults, []);
  console.log("all as it should be");
} catch (error) {
  await shot("failed").catch(() => undefined);
  const shown = await page.locator("body").innerText({ timeout: 5_000 }).catch(String);
  console.log(error.stack ?? String(error), faults, refused, [...unanswered.values()], shown.slice(0, 2_000));
  process.exitCode = 1;
} finally {
  await browser.close();
}
