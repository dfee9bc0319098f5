// What the routes under /v1 answer with; docs/routes.md tells the same in words.

export interface Person {
  id: string;
  resource_type: "user" | "invitation";
  member_id: string;
  email: string;
  display_name: string;
  status: string;
  active: boolean;
  /** Nothing where Cloudflare does not tell. */
  two_factor: boolean | null;
  entitlements: string[];
  /** The last signs of life, empty or absent where nothing is known. */
  last_login?: string | null;
  last_change_at?: string | null;
  last_change_from?: string | null;
  products_changed?: string[];
}

export interface Role {
  id: string;
  resource_type: "role" | "scoped_role";
  name: string;
  description?: string;
  entitlement_id: string;
  grantable?: boolean;
  permission_group_name?: string;
  resource_group_name?: string;
  /** What it reaches, in a few words. */
  reach?: string;
}

/** A scoped role with all that it reaches. */
export interface Reach {
  scope: { key: string; kind: string; told: string }[];
  unlisted: number;
}

/** One way by which somebody can do something on an object. */
export interface Access {
  resource_key: string;
  principal_type: "user" | "invitation" | "api_token";
  principal_id: string;
  email: string;
  display_name: string;
  entitlement_id: string;
  role: string;
  /** `perhaps` where not all is listed that the role or token reaches. */
  reach: "object" | "every" | "account" | "perhaps";
  group_id: string;
  group_name: string;
}

export interface Group {
  id: string;
  resource_type: "group";
  name: string;
  entitlement_id: string;
  entitlements: string[];
}

export interface Token {
  id: string;
  name: string;
  status: string;
  issued_on: string | null;
  not_before: string | null;
  expires_on: string | null;
  last_used_on: string | null;
  unreadable: string[];
  creator_email: string;
  creator_id: string;
  creator: "unknown" | "left" | "invited" | "member";
  permission_groups: string[];
  allowed_from: string[];
  refused_from: string[];
  is_connector: boolean;
  policies?: { access: string; told: string; permission_groups: { id: string; name: string }[]; scope: { key: string; told: string }[] }[];
  unlisted?: number;
}

/** Who made a change, as far as that is known. */
export interface By {
  who: string;
  through?: string;
  operation?: number;
  requester?: string | null;
}

/** A change as the ledger has it. */
export interface Gain {
  number: number;
  what: "gained" | "lost";
  principal: string;
  person: string;
  entitlement: string;
  name: string;
  seen_at: string;
  happened_at: string | null;
  cause: string;
  by: By | null;
}

export interface Finding {
  id: string;
  rule: string;
  severity: "high" | "medium" | "low";
  state: string;
  title: string;
  about: string;
  name: string;
  evidence: string;
  since: string;
  accepted: { reason: string; until: string } | null;
  remedy: string;
}

export interface Change {
  generation: string;
  published_at: string;
  kind: "added" | "removed" | "changed";
  key: string;
  name: string;
  grants_added: string[];
  grants_removed: string[];
  fields: string[];
  by?: { grant?: string; cause: string; happened_at: string | null; by: By | null }[];
}

export interface Operation {
  id: number;
  state: string;
  request: {
    action: string;
    origin: { by: string; task_number?: string | null; requester?: string | null; approvers?: string[] | null };
    subject: { emails: string[]; display_name?: string };
  };
  email?: string | null;
  outcome?: null | { outcome: string; effect?: string; code?: string; message?: string };
  attempts: number;
  trail: string[];
  received_at: string;
  settled_at?: string;
}

/** What a grant or a revoke would change. */
export interface Thought {
  line: string;
  entitlement_id: string | null;
  changes: boolean;
  removes_member: boolean;
  refused_by: { code: string; message: string } | null;
  gains: { entitlement_id: string; name: string; through: string; reach: { kind: string; told: string }[]; unlisted: number }[];
  loses: Thought["gains"];
  findings: Record<"opens" | "closes", { id: string; severity: string; title: string; evidence: string }[]>;
}

export interface Counts {
  users: number;
  invitations: number;
  roles: number;
  scoped_roles: number;
  groups: number;
  tokens: number;
  entitlements: number;
  grants: number;
}

export interface Run {
  run: string;
  by: string;
  started_at: string;
  finished_at: string;
  outcome: string;
  message: string;
  duration_millis: number;
  requests: number;
}

/** A list that is read beside the sync. */
export interface Beside {
  readable: boolean;
  message: string;
}

/** What became of the syncs of a day. */
export interface Day {
  day: string;
  published: number;
  unchanged: number;
  failed: number;
  held: number;
  requests: number;
  duration_millis: number;
  people: number | null;
  grants: number | null;
}

export interface Status {
  state: "not_connected" | "syncing" | "connected" | "error";
  running: {
    run: string;
    started_at: string;
    phase: string;
    pages_done: number;
    pages_total: number;
    members_seen: number;
    members_total: number | null;
    requests: number;
    not_before?: string;
    trouble?: string;
  } | null;
  runs: Run[];
  generations: { generation: string; published_at: string; counts: Counts }[];
  capabilities: Record<string, { on: boolean; message?: string; kept_from?: string; unreadable?: { count: number; first: string[] } }>;
  /** The connection to ConductorOne, where it was ever made. */
  connection?: {
    app: { id: string; name: string } | null;
    wired: number;
    connected_at: string | null;
    last_run: { run: number; state: string; mode: string; message: string | null };
  };
  jobs: { kind: string; subject: string; state: string; attempts: number; message?: string; due_at?: string; last_done_at?: string | null }[];
  incidents: { kind: string; at: string; operation: number; email: string; message: string; actor?: string }[];
  set_aside?: { table: string; rows: number }[];
  /** What is left of Cloudflare's budget in these five minutes. */
  requests_left: { sync: number; provisioning: number };
  callbacks_waiting: number;
  public_url: { url: string; source: "setting" | "learned"; learned_at?: string; learned_from?: string } | null;
  /** How the lists beside the account's own stood when they were last read. */
  audit_log: Beside | null;
  last_logins?: Beside;
  wrong_variables: { variable: string; message: string }[];
}
