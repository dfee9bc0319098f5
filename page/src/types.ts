// What the routes under /v1 answer with; docs/routes.md tells the same in words.

export interface Person {
  id: string;
  resource_type: "user" | "invitation";
  member_id: string;
  email: string;
  display_name: string;
  status: string;
  active: boolean;
  two_factor: boolean;
  entitlements: string[];
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
  reach: "object" | "every" | "account";
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
  issued_on?: string;
  expires_on?: string;
  last_used_on?: string;
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
  capabilities: Record<string, { on: boolean; message?: string; unreadable?: { count: number; first: string[] } }>;
  jobs: { kind: string; subject: string; state: string; attempts: number; message?: string; due_at?: string }[];
  incidents: { kind: string; at: string; operation: number; email: string; message: string; actor?: string }[];
  set_aside?: { table: string; rows: number }[];
  wrong_variables: { variable: string; message: string }[];
}
