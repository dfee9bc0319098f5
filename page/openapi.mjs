// The routes under /v1 as an OpenAPI 3.1 document: `node page/openapi.mjs` prints it, and scripts/page.sh puts it where the Worker serves it,
// at /v1/openapi.json. tests/docs.rs holds its routes and codes against the source, and the tests hold every answer against its schemas.

const string = { type: "string" };
const integer = { type: "integer" };
const boolean = { type: "boolean" };
const time = { type: "string", format: "date-time" };
const id = { type: "string", pattern: "^[0-9a-f]{32}$" };
const word = (...words) => ({ type: "string", enum: words });
const maybe = (schema) => ({ anyOf: [schema, { type: "null" }] });
const list = (items) => ({ type: "array", items });
const ref = (name) => ({ $ref: `#/components/schemas/${name}` });
/** An object; a name that ends with a question mark may be absent. */
const object = (fields) => {
  const names = Object.keys(fields);
  const required = names.filter((name) => !name.endsWith("?"));
  return {
    type: "object",
    properties: Object.fromEntries(names.map((name) => [name.replace(/\?$/, ""), fields[name]])),
    ...(required.length === 0 ? {} : { required }),
  };
};

/** Every code, with its status: docs/codes.md says what each means and what to do. */
const CODES = {
  400: ["invalid_request", "invalid_cursor", "invalid_webhook"],
  401: ["unauthorized", "signed_out", "access_refused", "webhook_rejected"],
  403: ["read_only_token", "rest_provisioning_off", "not_from_the_page"],
  404: ["not_found", "unknown_entitlement", "unknown_member", "nothing_to_push"],
  405: ["method_not_allowed"],
  409: [
    "provisioning_off", "ambiguous_entitlement", "ambiguous_member", "key_conflict", "last_role", "unknown_policy", "protected_member",
    "min_super_admins", "unreadable_member", "held_through_group", "token_owner", "declined", "not_pending", "managed_elsewhere",
    "app_not_allowed", "no_default_role", "superseded", "gave_up", "finding_closed", "finding_changed", "sync_running", "push_not_configured",
    "connect_not_configured", "connect_running",
  ],
  410: ["generation_gone", "before_the_ledger", "not_decided"],
  413: ["body_too_large"],
  422: ["not_eligible", "cloudflare_refused"],
  429: ["removal_cap"],
  500: ["snapshot_corrupt", "export_failed"],
  503: [
    "not_configured", "public_url_unknown", "keys_unavailable", "token_used", "not_now", "no_snapshot", "not_replicated", "storage_failed",
    "coordinator_unreachable", "coordinator_failed", "signing_failed", "evidence_not_settled",
  ],
};
const statusOf = (code) => Object.keys(CODES).find((status) => CODES[status].includes(code));

/** What any route may answer, whatever is asked. */
const ALWAYS = ["unauthorized", "not_from_the_page", "not_configured", "coordinator_unreachable", "coordinator_failed"];
/** What reading the snapshot may come to. */
const SNAPSHOT = ["invalid_request", "no_snapshot", "not_replicated", "storage_failed", "snapshot_corrupt"];
const PAGED = [...SNAPSHOT, "invalid_cursor", "generation_gone"];
/** What a change of access may come to. */
const CHANGE = [
  "read_only_token", "rest_provisioning_off", "invalid_request", "body_too_large", "unknown_entitlement", "unknown_member", "removal_cap", "not_now", "no_snapshot",
  "not_replicated", "storage_failed", "snapshot_corrupt", "not_eligible", "cloudflare_refused",
  ...CODES[409].filter((code) => !/^(finding|sync|push|connect)_/.test(code)),
];

const TITLES = {
  304: "It is as it was: what the ETag in If-None-Match stands for.",
  400: "The request cannot be read as it is.",
  401: "The bearer token is none of this connector's.",
  403: "The token or the session may not do this.",
  404: "There is no such thing.",
  409: "A rule or the state of things is against it.",
  410: "It is no longer kept, or never was, or is not decided here.",
  413: "The body is too long.",
  422: "Cloudflare refused.",
  429: "There were too many removals; Retry-After says when there is room.",
  500: "What is stored cannot be used.",
  503: "Not now; Retry-After says when to try again.",
};

/** The answers that are problems, by status. */
const problems = (codes) => {
  const byStatus = {};
  for (const code of new Set([...ALWAYS, ...codes])) (byStatus[statusOf(code)] ??= []).push(code);
  return Object.fromEntries(
    Object.entries(byStatus).map(([status, of]) => [
      status,
      {
        description: TITLES[status],
        content: { "application/problem+json": { schema: { ...ref("Problem"), properties: { code: word(...of.toSorted()) } } } },
      },
    ]),
  );
};

const json = (schema, description = "As asked.") => ({ description, content: { "application/json": { schema } } });
const file = (type, description) => ({ description, content: { [type]: { schema: { type: "string", ...(type.startsWith("text/") ? {} : { format: "binary" }) } } } });

const parameter = (name, schema, description, where = "query") => ({ name, in: where, required: where === "path", schema, description });
const limit = parameter("limit", { type: "integer", minimum: 1, maximum: 1000, default: 100 }, "How many items a page has at most.");
const cursor = parameter("cursor", string, "The next_cursor of an earlier answer.");
const since = parameter("since", string, "Not before this time or day, such as 2026-08-21T10:00:00Z.");
const until = parameter("until", string, "Before this time or day.");
const person = parameter("person", { type: "string" }, "A user's id, or invitation:<membership id>.", "path");
const etag = parameter("If-None-Match", string, "The ETag of an earlier answer: where nothing changed since, the answer is 304.", "header");

/** A route. `answers` are those that are no problem. */
const route = (summary, { answers, codes = [], parameters = [], body, conditional = false, right = "read" }) => ({
  summary,
  security: [{ token: [] }, { session: [] }],
  ...(right === "read" ? {} : { description: "Wants CONNECTOR_TOKEN; CONNECTOR_READ_TOKEN is refused." }),
  ...(parameters.length === 0 && !conditional ? {} : { parameters: [...parameters, ...(conditional ? [etag] : [])] }),
  ...(body === undefined ? {} : { requestBody: { required: body.required ?? true, content: { "application/json": { schema: body.schema } } } }),
  responses: {
    ...answers,
    ...(conditional ? { 304: { description: TITLES[304] } } : {}),
    ...problems([...codes, ...(right === "read" ? [] : ["read_only_token"]), ...(body === undefined ? [] : ["invalid_request", "body_too_large"])]),
  },
});

/** A page of a snapshot's list. */
const paged = (summary, item, { parameters = [], codes = [], conditional = true } = {}) =>
  route(summary, {
    answers: { 200: json(object({ items: list(ref(item)), "next_cursor?": string, generation: string })) },
    codes: [...PAGED, ...codes],
    parameters: [...parameters, limit, cursor],
    conditional,
  });
/** A page of the ledger. */
const told = (summary, item, codes, parameters) => {
  const asked = route(summary, {
    answers: { 200: json(object({ items: list(ref(item)), "next_cursor?": string, begins_at: maybe(time), gaps: list(time) })) },
    codes: [...PAGED, ...codes],
    parameters: [...parameters, parameter("format", word("json", "csv"), "csv is a file of one page; Link leads to the next."), limit, cursor],
  });
  asked.responses[200].content["text/csv"] = { schema: string };
  return asked;
};
/** A page of what the Coordinator notes. */
const noted = (summary, item, parameters) =>
  route(summary, {
    answers: { 200: json(object({ items: list(ref(item)), "next_cursor?": string })) },
    codes: ["invalid_request", "invalid_cursor"],
    parameters: [...parameters, limit, cursor],
  });
const change = (summary, options = {}) => route(summary, { answers: { 200: json(ref("Done"), "It is so, or was so already.") }, codes: CHANGE, right: "full", ...options });
const download = (type, description, codes = []) =>
  route(description, {
    answers: { 200: file(type, description) },
    codes: [...SNAPSHOT, "generation_gone", "export_failed", ...codes],
    parameters: [parameter("generation", string, "An earlier generation, by its id.")],
    conditional: true,
  });

const held = { principal_type: word("user", "invitation", "group"), principal_id: string };
const schemas = {
  Problem: object({ type: string, title: string, status: integer, code: word(...Object.values(CODES).flat().toSorted()), detail: string }),
  Person: object({
    id, resource_type: word("user", "invitation"), member_id: id, cloudflare_user_id: string, email: string, display_name: string, first_name: string, last_name: string,
    status: word("accepted", "pending", "other"), active: boolean, two_factor: maybe(boolean), last_login: string, last_change_at: string,
    last_change_from: string, products_changed: list(string), entitlements: list(string),
  }),
  Role: object({ id, resource_type: word("role"), name: string, description: string, entitlement_id: string, permission_group_id: maybe(id), label: maybe(string), grantable: boolean }),
  ScopedRole: object({
    id: string, resource_type: word("scoped_role"), name: string, entitlement_id: string, permission_group_id: id, permission_group_name: string, resource_group_id: id,
    resource_group_name: string, reach: string,
    "scope?": list(ref("Object")), "unlisted?": integer,
  }),
  Group: object({ id, resource_type: word("group"), name: string, entitlement_id: string, entitlements: list(string) }),
  Token: object({
    id, resource_type: word("api_token"), name: string, status: string, issued_on: maybe(string), not_before: maybe(string), expires_on: maybe(string), last_used_on: maybe(string),
    unreadable: list(string),
    creator_email: string, creator_id: string, creator: word("unknown", "left", "invited", "member"), provisioner_type: string, provisioner_id: string, access: list(string),
    permission_groups: list(string), allowed_from: list(string), refused_from: list(string), is_connector: boolean,
    "policies?": list(object({ access: word("allow", "deny", "unknown"), told: string, permission_groups: list(object({ id: string, name: string })), scope: list(ref("Object")) })),
    "unlisted?": integer,
  }),
  Object: object({ key: string, kind: string, id: string, name: string, told: string }),
  OauthClient: object({
    id: string, resource_type: word("oauth_client"), name: string, visibility: string, scopes: list(string), redirect_uris: list(string), created_at: maybe(string),
  }),
  Entitlement: object({
    id: string, slug: string, display_name: string, description: string, purpose: string, resource_type: word("role", "scoped_role", "group"), resource_id: string,
    grantable_to: list(word("user", "invitation", "group")),
  }),
  Grant: object({ id: string, entitlement_id: string, ...held, expandable: maybe(string) }),
  Holder: object({ grant_id: string, ...held, user_id: maybe(string), email: maybe(string), display_name: string }),
  Access: object({
    resource_key: string, principal_type: word("user", "invitation", "api_token"), principal_id: string, email: string, display_name: string, entitlement_id: string, role: string,
    reach: word("object", "every", "account", "perhaps"), group_id: string, group_name: string,
  }),
  Change: object({
    generation: string, published_at: string, kind: word("added", "removed", "changed"), key: string, name: string, grants_added: list(string), grants_removed: list(string), fields: list(string),
    "former_name?": string, "member_id?": id, "by?": list(object({ "grant?": string, cause: string, happened_at: maybe(time), by: maybe(ref("By")) })),
  }),
  By: object({
    who: string, "through?": string, "at?": maybe(time), "entry?": maybe(string), "operation?": integer, "task?": maybe(string), "requester?": maybe(string),
    "approvers?": list(string),
  }),
  LedgerChange: object({
    number: integer, generation: string, what: word("gained", "lost"), principal: string, person: string, entitlement: string, name: string,
    seen_at: time, happened_at: maybe(time), cause: string, by: maybe(ref("By")),
  }),
  Held: object({
    person: string, principal: string, entitlement: string, name: string, "group_id?": id, "group_name?": string,
    gained: maybe(object({ seen_at: time, happened_at: maybe(time), cause: string, by: maybe(ref("By")) })),
  }),
  Origin: object({ by: string, task: maybe(string), task_number: maybe(string), app_id: maybe(string), requester: maybe(string), approvers: list(string), "duration_secs?": integer, "extends?": boolean, "right?": string, "after?": integer }),
  Outcome: {
    oneOf: [
      object({ outcome: word("done"), effect: ref("Effect"), message: string, "account?": ref("Account") }),
      object({ outcome: word("refused"), code: string, message: string }),
      object({ outcome: word("not_now"), message: string, retry_at: maybe(time) }),
    ],
  },
  Effect: word("granted", "already_granted", "revoked", "already_revoked", "invited", "removed", "renewed"),
  Account: object({ resource_type: string, id: string, email: string }),
  Operation: object({
    id: integer, key: string, state: word("received", "writing", "put_off", "settled"),
    request: object({
      key: maybe(string), action: word("grant", "revoke"),
      target: {
        oneOf: [
          word("account", "renewal"), object({ id: string }),
          object({ named: object({ id: maybe(string), candidates: list(string), display_name: maybe(string), builtin: boolean }) }),
        ],
      },
      subject: object({ emails: list(string), member_id: maybe(string), user_id: maybe(string), display_name: maybe(string), has_account: boolean }),
      origin: ref("Origin"),
    }),
    member: maybe(string), email: maybe(string), entitlement: maybe(string), outcome: maybe(ref("Outcome")), attempts: integer, trail: list(string), incidents: list(ref("Incident")),
    received_at: time, settled_at: maybe(time), due_at: maybe(time),
  }),
  Incident: object({
    kind: word("foreign_write", "late_write", "removal_cap", "callback_given_up"), at: time, operation: integer, member: string, email: string, message: string, actor: maybe(string), "through?": string, reference: maybe(string),
  }),
  Decision: object({
    id: integer, key: string, at: time, verdict: string, rule: string, comment: string, "users?": list(string), action: maybe(word("grant", "revoke")), entitlement: maybe(string),
    entitlement_name: maybe(string), email: maybe(string), generation: maybe(string), origin: ref("Origin"),
    "asked?": object({
      entitlement: object({ id: maybe(string), display_name: maybe(string), candidates: list(string), builtin: boolean }),
      subject: object({ emails: list(string), member_id: maybe(string), user_id: maybe(string), display_name: maybe(string), has_account: boolean }),
    }),
  }),
  Finding: object({
    number: integer, id: string, rule: string, severity: word("high", "medium", "low"), state: word("open", "accepted", "closed"), title: string, about: string, name: string, evidence: string,
    since: time, closed_at: maybe(time), accepted: maybe(object({ reason: string, by: string, at: maybe(time), until: time })), remedy: string,
    "events?": list(object({ at: time, what: string, detail: string })),
  }),
  Day: object({
    day: string, published: integer, unchanged: integer, failed: integer, held: integer, requests: integer, duration_millis: integer, people: maybe(integer), grants: maybe(integer),
  }),
  FindingEvent: object({ number: integer, finding: string, at: time, what: word("opened", "closed", "accepted", "open_again"), detail: string }),
  Thought: object({
    principal: maybe(string), email: string, display_name: string, action: word("grant", "revoke"), entitlement_id: maybe(string), entitlement: string, line: string, changes: boolean,
    removes_member: boolean, refused_by: maybe(object({ code: string, message: string })), gains: list(ref("Reached")), loses: list(ref("Reached")),
    findings: object({ opens: list(ref("FindingToBe")), closes: list(ref("FindingToBe")) }), generation: string,
  }),
  Reached: object({ entitlement_id: string, name: string, through: string, reach: list(object({ kind: string, told: string })), unlisted: integer }),
  FindingToBe: object({
    id: string, rule: string, severity: word("high", "medium", "low"), title: string, about: string, name: string, evidence: string, remedy: string,
  }),
  Done: object({ status: ref("Effect"), message: string, "grant?": string, "account?": ref("Account") }),
  Counts: object({ users: integer, invitations: integer, roles: integer, scoped_roles: integer, groups: integer, tokens: integer, oauth_clients: integer, entitlements: integer, grants: integer }),
  ChangeCounts: object({ added: integer, removed: integer, changed: integer, grants_added: integer, grants_removed: integer, more: boolean }),
  Capability: object({ on: boolean, "message?": string, "kept_from?": string, "unreadable?": object({ count: integer, first: list(string) }) }),
  Run: object({
    run: string, by: string, started_at: time, finished_at: time, outcome: word("published", "unchanged", "failed", "held"), message: string, duration_millis: integer, requests: integer,
    kv: object({ reads: integer, writes: integer, deletes: integer }), chunks_written: integer, bytes_written: integer, generation: maybe(string), changes: maybe(ref("ChangeCounts")),
    warnings: list(string), not_before: maybe(time),
  }),
  Job: object({
    kind: string, subject: string, state: word("due", "done", "failed"), attempts: integer, message: maybe(string), wanted_at: time, due_at: maybe(time), ended_at: maybe(time), last_done_at: maybe(time),
  }),
  Status: object({
    state: word("not_connected", "syncing", "connected", "error"),
    running: maybe(object({
      run: string, by: string, started_at: time, phase: word("lists", "groups", "members", "verify", "publish"), pages_done: integer, pages_total: integer, members_seen: integer,
      members_total: maybe(integer), requests: integer, not_before: maybe(time), trouble: maybe(string), restarts: integer,
    })),
    runs: list(ref("Run")),
    generations: list(object({ generation: string, previous: maybe(string), started_at: time, published_at: time, duration_millis: integer, counts: ref("Counts"), changes: maybe(ref("ChangeCounts")) })),
    capabilities: { type: "object", additionalProperties: ref("Capability") },
    posture: object({
      enforces_two_factor: maybe(boolean), organization: maybe({ type: "array", items: string, minItems: 2, maxItems: 2 }),
      sso_domains: { type: "object", additionalProperties: string },
    }),
    jobs: list(ref("Job")),
    "connection?": object({
      app: maybe(ref("Named")), webhook: maybe(string), wired: integer, connected_at: maybe(time), verified_at: maybe(time),
      last_run: object({ run: integer, mode: ref("Mode"), by: string, state: ref("RunState"), message: maybe(string), ended_at: maybe(time) }),
    }),
    "overdue_revokes?": list(object({ email: string, member: maybe(string), entitlement: string, operation: integer, ended_at: time })),
    incidents: list(ref("Incident")),
    audit_log: maybe(object({
      readable: boolean, message: string, at: time, "read_until?": time, "since?": time, "next_at?": time, "wide_at?": time, "ours?": string,
      "reading?": object({ since: time, until: time, began_at: time, wide: boolean, pages: integer, "limit?": maybe(integer), "cursor?": maybe(string) }),
    })),
    "last_logins?": object({
      readable: boolean, message: string, at: time, "read_at?": time, "in_audit_log?": boolean, "log_read_until?": time, "off?": boolean, shown: string, "next_at?": time,
      "reading?": object({ began_at: time, page: integer, of_log: boolean, total: maybe(integer), again: boolean }),
    }),
    "set_aside?": list(object({ table: string, rows: integer, message: string })),
    requests_left: object({ sync: integer, provisioning: integer }),
    callbacks_waiting: integer,
    public_url: maybe(object({ url: string, source: word("setting", "learned"), "learned_at?": time, "learned_from?": string })),
    wrong_variables: list(object({ variable: string, message: string })),
  }),
  Named: object({ id: string, name: string }),
  Mode: word("connect", "dry_run", "undo"),
  RunState: word("running", "done", "failed"),
  Connection: object({
    run: integer, mode: ref("Mode"), by: string, state: ref("RunState"), message: maybe(string), app: maybe(ref("Named")), webhook: maybe(string),
    entitlements: { type: "object", additionalProperties: integer }, started_at: time, ended_at: maybe(time),
    lines: list(object({ n: integer, what: string, "entitlement?": string, text: string })), more: boolean,
  }),
  Report: object({ ok: boolean, checks: list(object({ name: string, ok: boolean, required: boolean, message: string })) }),
  Started: object({ run: string, status: string }),
  Pushing: object({ generation: string, status: string }),
};

const member = parameter("member", string, "A membership id or an e-mail address.");
const role = parameter("role", string, "An entitlement's or a role's id.");
const findingId = parameter("id", string, "The finding's id.", "path");
const holders = (collection, what) => {
  const at = parameter("id", collection === "scoped-roles" ? { type: "string", pattern: "^[0-9a-f]{32}-[0-9a-f]{32}$" } : id, `The ${what}'s id.`, "path");
  return {
    [`/v1/${collection}/{id}/members`]: {
      get: paged(`Who holds the ${what}.`, "Holder", {
        parameters: [
          at, parameter("principal_type", word("user", "invitation", "group"), "Only these."),
          parameter("missing", word("empty"), "No items for what is gone, in place of 404."),
        ],
        codes: ["not_found"],
      }),
    },
    [`/v1/${collection}/{id}/members/{person}`]: {
      put: change(`Grants the ${what}.`, { parameters: [at, person] }),
      delete: change(`Revokes the ${what}.`, { parameters: [at, person] }),
    },
  };
};
const one = (what, schema, at, extra = []) => route(`One ${what}.`, { answers: { 200: json(ref(schema)) }, codes: [...SNAPSHOT, "not_found", ...extra], parameters: [at], conditional: true });

const paths = {
  "/v1/status": { get: route("How the sync and what follows it stand.", { answers: { 200: json(ref("Status")) } }) },
  "/v1/days": { get: noted("What became of the syncs of each day, the newest first.", "Day", []) },
  "/v1/doctor": {
    get: (() => {
      const asked = route("Checks everything now.", { answers: { 200: json(ref("Report"), "The connector can work.") }, right: "full" });
      asked.responses[503] = json(ref("Report"), "Something that it cannot do without is missing.");
      return asked;
    })(),
  },
  "/v1/sync": {
    post: route("Starts a sync.", {
      answers: { 202: json(ref("Started"), "It has begun.") },
      codes: ["sync_running"],
      body: { required: false, schema: object({ "accept_removals?": boolean }) },
      right: "full",
    }),
  },
  "/v1/users": { get: paged("Members.", "Person") },
  "/v1/invitations": { get: paged("Invitations that wait.", "Person") },
  "/v1/roles": { get: paged("Roles on the whole account.", "Role") },
  "/v1/scoped-roles": { get: paged("Roles on parts of the account.", "ScopedRole") },
  "/v1/groups": { get: paged("User groups.", "Group") },
  "/v1/tokens": { get: paged("The account's API tokens.", "Token") },
  "/v1/tokens/{id}": { get: one("API token, with who made it and all that it reaches", "Token", parameter("id", id, "The token's id.", "path")) },
  "/v1/oauth-clients": { get: paged("The account's OAuth clients.", "OauthClient") },
  "/v1/entitlements": { get: paged("What can be granted.", "Entitlement") },
  "/v1/grants": { get: paged("What is granted.", "Grant") },
  "/v1/users/{id}": { get: one("member", "Person", parameter("id", id, "The user's id.", "path")) },
  "/v1/invitations/{id}": { get: one("invitation", "Person", parameter("id", id, "The membership's id.", "path")) },
  "/v1/scoped-roles/{id}": { get: one("scoped role, with all that it reaches", "ScopedRole", parameter("id", { type: "string", pattern: "^[0-9a-f]{32}-[0-9a-f]{32}$" }, "The scoped role's id.", "path"), ["unknown_entitlement"]) },
  "/v1/resources/{object}/access": {
    get: paged("Who can do what on a domain, a Worker, a bucket or an Access application.", "Access", { parameters: [parameter("object", string, "Its key, or its name.", "path")], codes: ["not_found"] }),
  },
  ...holders("roles", "role"),
  ...holders("scoped-roles", "scoped role"),
  ...holders("groups", "user group"),
  "/v1/changes": {
    get: paged("What changed, generation by generation, the newest first; or all in all between two generations.", "Change", {
      parameters: [
        parameter("since", string, "A generation whose changes, and those before it, are not wanted."),
        parameter("from", string, "A generation: tells what a later one has otherwise, in the order of keys."),
        parameter("to", string, "With from: that later generation. The current one where it is left out."),
      ],
      // Who did what becomes known later.
      conditional: false,
    }),
  },
  "/v1/history": {
    get: told("What was gained and lost, the newest first.", "LedgerChange", [], [
      parameter("person", string, "An e-mail address, of whoever has it or had it, or a principal's id."), parameter("entitlement", string, "Its id, a role's id, or a name that only one has."),
      parameter("from", string, "At or after this time."), parameter("to", string, "Before this time."),
    ]),
  },
  "/v1/as-of": {
    get: told("Who held what at a time.", "Held", ["before_the_ledger"], [
      parameter("at", string, "As of when."), parameter("person", string, "An e-mail address, of whoever has it or had it, or a principal's id."), parameter("role", string, "An entitlement's id, a role's id, or a name that only one has."),
    ]),
  },
  "/v1/evidence": { get: download("application/x-ndjson", "Who holds what, since when, by whom approved, and what is found to be wrong, with hashes and a signature.", ["evidence_not_settled", "signing_failed"]) },
  "/v1/operations": {
    get: (() => {
      const asked = noted("The journal, the newest first.", "Operation", [
        member, role, parameter("outcome", string, "done, refused, not_now, an effect or a code; received, writing or put_off where it has not ended."), since, until,
        parameter("of", word("operations", "findings"), "findings: what happened to those, in place of operations."),
      ]);
      asked.responses[200].content["application/json"].schema.properties.items = list({ anyOf: [ref("Operation"), ref("FindingEvent")] });
      return asked;
    })(),
  },
  "/v1/operations/{id}": {
    get: route("One operation.", { answers: { 200: json(ref("Operation")) }, codes: ["not_found", "invalid_request"], parameters: [parameter("id", string, "Its number, or its key with ~ for the slash.", "path")] }),
  },
  "/v1/decisions": {
    get: noted("How approvals were decided, the newest first.", "Decision", [member, role, parameter("verdict", string, "How it was decided."), parameter("rule", string, "By which rule."), since, until]),
  },
  "/v1/findings": {
    get: (() => {
      const asked = noted("What is wrong with the account.", "Finding", [
        parameter("state", word("open", "accepted", "closed", "all"), "Open ones, where nothing is said."), parameter("rule", string, "Of this rule."),
        parameter("severity", word("high", "medium", "low"), "Of this severity."), parameter("format", word("json", "csv"), "csv is a file of all of them."),
      ]);
      asked.responses[200].content["text/csv"] = { schema: string };
      return asked;
    })(),
  },
  "/v1/findings/{id}": { get: route("One finding, with what happened to it.", { answers: { 200: json(ref("Finding")) }, codes: ["not_found", "invalid_request"], parameters: [findingId] }) },
  "/v1/findings/{id}/accept": {
    post: route("Accepts a finding for a time.", {
      answers: { 200: json(ref("Finding")) },
      codes: ["not_found", "finding_closed", "finding_changed"],
      parameters: [findingId],
      body: { schema: object({ reason: { type: "string", minLength: 1, maxLength: 500 }, until: string, "evidence?": maybe(string) }) },
      right: "full",
    }),
  },
  "/v1/what-if": {
    get: route("What a grant or a revoke would change. Nothing is written.", {
      answers: { 200: json(ref("Thought")) },
      codes: ["invalid_request", "not_found", "not_now"],
      parameters: [
        parameter("principal", string, "user:<id>, invitation:<membership id>, or an e-mail address."),
        parameter("grant", string, "The entitlement that would be granted, or account for an invitation."), parameter("revoke", string, "The one that would be revoked, or account for a removal."),
      ],
    }),
  },
  "/v1/accounts": { post: change("Invites somebody.", { body: { schema: object({ email: string, "entitlement?": maybe(string) }) } }) },
  "/v1/accounts/{person}": { delete: change("Removes a member, or cancels an invitation.", { parameters: [person] }) },
  "/v1/invitations/{id}/renew": { post: change("Cancels an invitation and sends it again.", { parameters: [parameter("id", id, "The membership's id.", "path")] }) },
  "/v1/export/sync.c1z": { get: download("application/octet-stream", "The account as a .c1z file.") },
  "/v1/export/users.csv": { get: download("text/csv", "The people as CSV.") },
  "/v1/export/grants.csv": { get: download("text/csv", "The grants as CSV.") },
  "/v1/push": { post: route("Pushes the current generation once more.", { answers: { 202: json(ref("Pushing"), "It is on its way.") }, codes: ["push_not_configured", "nothing_to_push"], right: "full" }) },
  "/v1/connect": {
    post: route("Points ConductorOne's entitlements at this Worker, or back.", {
      answers: { 200: json(ref("Connection"), "It has ended, well or not."), 202: json(ref("Connection"), "It goes on.") },
      codes: ["connect_not_configured", "connect_running", "rest_provisioning_off"],
      body: { required: false, schema: object({ "app_id?": maybe(string), "dry_run?": boolean, "undo?": boolean, "overwrite?": boolean }) },
      right: "full",
    }),
    get: route("What the latest run did.", { answers: { 200: json(ref("Connection")) }, codes: ["not_found", "invalid_request"], parameters: [parameter("after", { type: "integer", minimum: 0 }, "The number of the last line that is known.")] }),
  },
};

console.log(JSON.stringify({
  openapi: "3.1.0",
  info: {
    title: "ConductorOne's connector to Cloudflare",
    version: "1",
    summary: "Who is in a Cloudflare account, what they may do there, and changes of that.",
    description: "HEAD works wherever GET does. A method that a path does not have is answered 405 with Allow, and a path that does not exist 404. New fields and new codes may come; nothing that is here changes its meaning.",
    license: { name: "Apache-2.0", identifier: "Apache-2.0" },
  },
  servers: [{ url: "/" }],
  paths,
  components: {
    securitySchemes: {
      token: { type: "http", scheme: "bearer", description: "CONNECTOR_TOKEN, or CONNECTOR_READ_TOKEN for what only reads." },
      session: { type: "apiKey", in: "cookie", name: "__Host-connector-session", description: "Of the page at /, for the page's own requests alone." },
    },
    schemas,
  },
}));
