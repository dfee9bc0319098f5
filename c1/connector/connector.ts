// Cloudflare for ConductorOne, as a hosted connector: it reads the c1-cloudflare Worker's snapshot, and grants, revokes,
// invites and removes through it. Declarative: ConductorOne's runtime makes the requests and turns the pages.
//
// The runtime may replay any of this. Each write is a statement of what is to be so, and the Worker answers one that is
// so already with 200 and a status that says it.

import { accountResponse, annotations, entitlementId, grantId, provisioningResponse, resourceResponse } from "@baton/helpers"
import {
  config,
  connector,
  eventFeed,
  http,
  node,
  type PublicConfigField,
  resourceType,
  type RuntimeGrant,
  scope,
  type SecretConfigField,
  slot,
  walk,
} from "@baton/runtime"
import {
  newAppResource,
  newGroupResource,
  newResourceId,
  newRoleResource,
  newSecretResource,
  newUserResource,
  type ResourceTypeReference,
  TRAIT_USER,
} from "@baton/types"

// What the Worker answers. Every field is always there; what is not known of a name is "".
type Page<T> = { readonly items: readonly T[]; readonly next_cursor?: string; readonly generation: string }
type Person = {
  readonly id: string
  readonly member_id: string
  readonly cloudflare_user_id: string
  readonly email: string
  readonly display_name: string
  readonly first_name: string
  readonly last_name: string
  readonly status: string
  readonly active: boolean
  readonly two_factor: boolean | null
  readonly last_login: string
  readonly last_change_at: string
  readonly last_change_from: string
  readonly products_changed: readonly string[]
}
/** Who is invited can accept at any time; a status that the Worker does not know is "other", and of no use. */
const isLive = (person: Person) => person.status !== "other"
/** "Accepted", "Pending" or "Other". */
const standing = (person: Person) => person.status.slice(0, 1).toUpperCase() + person.status.slice(1)
/** What is known of the person's changes; what is not known is left out. A change is no login. */
function activity(person: Person): Record<string, string> {
  const told: Record<string, string> = {
    last_change_at: person.last_change_at,
    last_change_from: person.last_change_from,
    products_changed: person.products_changed.join(", "),
  }
  return Object.fromEntries(Object.entries(told).filter(([, text]) => text !== ""))
}
type Role = { readonly id: string; readonly name: string; readonly description: string; readonly label: string | null }
type ScopedRole = {
  readonly id: string
  readonly name: string
  readonly permission_group_id: string
  readonly permission_group_name: string
  readonly resource_group_id: string
  readonly resource_group_name: string
}
type Group = { readonly id: string; readonly name: string }
type Token = {
  readonly id: string
  readonly name: string
  readonly status: string
  readonly issued_on: string | null
  readonly expires_on: string | null
  readonly last_used_on: string | null
  /** The principal who made it, as `<type>:<id>`; "" where that is nobody of the account. */
  readonly creator_id: string
}
type Holder = { readonly principal_type: string; readonly principal_id: string }
type Account = { readonly resource_type: string; readonly id: string; readonly email: string }
type Done = { readonly status: string; readonly message: string; readonly account?: Account }

const workerUrl = config("worker-url") as PublicConfigField<string, "worker-url">
const connectorToken = config("connector-token") as SecretConfigField<string, "connector-token">

const worker = http.v1({
  baseUrl: workerUrl,
  auth: { type: "bearer", token: connectorToken },
  headers: { Accept: "application/json" },
})

// The last page has no next_cursor. A cursor stays with one generation of the snapshot.
const pages = {
  kind: "response_token" as const,
  tokenParam: "cursor",
  tokenPath: ["next_cursor"] as const,
  pageSizeParam: "limit",
  pageSize: 500,
}

const MEMBER = "member"

const userReference: ResourceTypeReference = { id: "user", displayName: "User", traits: [TRAIT_USER] }
const invitationReference: ResourceTypeReference = { id: "invitation", displayName: "Invitation", traits: [TRAIT_USER] }
const people: readonly ResourceTypeReference[] = [userReference, invitationReference]

/** A list of the Worker's, row by row. */
function list<T>(path: string) {
  const row = slot<T>()
  const rows = node({
    outputs: { row },
    run: () => worker.GET({ path, pagination: pages }),
    result: ({ response }) => (response as Page<T>).items.map((item) => ({ row: item })),
  })
  return { row, rows }
}

/**
 * What can be granted on a type of resources that the Worker lists under `/v1/<collection>`: one entitlement for each, who
 * holds it, and its grant and revoke. `title` and `description` are the entitlement's.
 */
function membership(type: string, collection: string, title: (name: string) => string, description: (name: string) => string) {
  const holder = slot<Holder>()
  const granted = slot<Done>()
  const revoked = slot<Done>()

  const listHolders = node({
    inputs: { resource: scope.resource },
    outputs: { holder },
    run: ({ resource }) =>
      worker.GET({
        path: `/v1/${collection}/${encodeURIComponent(resource.id)}/members`,
        // What is gone since the resources were listed is held by nobody.
        query: { missing: "empty" },
        pagination: pages,
      }),
    result: ({ response }) => (response as Page<Holder>).items.map((item) => ({ holder: item })),
  })

  const member = (resource: string, principalType: string, principal: string) =>
    `/v1/${collection}/${encodeURIComponent(resource)}/members/${principalType}:${encodeURIComponent(principal)}`

  const grant = node({
    inputs: { resource: scope.resource, principal: scope.principal },
    outputs: { granted },
    run: ({ resource, principal }) =>
      worker.PUT({ path: member(resource.id, principal.id.resourceType, principal.id.resource) }),
    result: ({ response }) => ({ granted: response as Done }),
  })

  const revoke = node({
    inputs: { resource: scope.resource, held: scope.grant },
    outputs: { revoked },
    run: ({ resource, held }) =>
      worker.DELETE({ path: member(resource.id, held.principal.id.resourceType, held.principal.id.resource) }),
    result: ({ response }) => ({ revoked: response as Done }),
  })

  return {
    entitlements: walk({
      from: { resource: scope.resource },
      to: ({ resource }) => ({
        id: entitlementId(type, resource.id, MEMBER),
        slug: MEMBER,
        displayName: title(resource.displayName),
        description: description(resource.displayName),
        purpose: "PURPOSE_VALUE_ASSIGNMENT" as const,
        grantableTo: people,
      }),
    }),
    grants: walk({
      nodes: [listHolders],
      from: { resource: scope.resource, holder },
      to: ({ resource, holder: { principal_type, principal_id } }): RuntimeGrant => {
        const entitlement = entitlementId(type, resource.id, MEMBER)
        return {
          id: grantId(entitlement, principal_type, principal_id),
          entitlement: { id: entitlement },
          principal: { id: newResourceId(principal_type, principal_id) },
          // What a user group holds, its members hold.
          annotations:
            principal_type === "group"
              ? [
                  annotations.grantExpandable({
                    entitlementIds: [entitlementId("group", principal_id, MEMBER)],
                    resourceTypeIds: ["user", "invitation"],
                  }),
                ]
              : [],
        }
      },
    }),
    provisioning: {
      grant: walk({
        nodes: [grant],
        from: { granted },
        to: ({ granted: done }) =>
          provisioningResponse.grant({
            annotations: done.status === "already_granted" ? [annotations.grantAlreadyExists()] : [],
          }),
      }),
      revoke: walk({
        nodes: [revoke],
        from: { revoked },
        to: ({ revoked: done }) =>
          provisioningResponse.revoke({
            annotations: done.status === "already_revoked" ? [annotations.grantAlreadyRevoked()] : [],
          }),
      }),
    },
  }
}

/** Removes a member, or cancels an invitation; somebody who is gone already is no error. */
function removal() {
  const removed = slot<Done>()
  const remove = node({
    inputs: { id: scope.delete.resourceId },
    outputs: { removed },
    run: ({ id }) => worker.DELETE({ path: `/v1/accounts/${id.resourceType}:${encodeURIComponent(id.resource)}` }),
    result: ({ response }) => ({ removed: response as Done }),
  })
  return walk({ nodes: [remove], from: { removed }, to: () => resourceResponse.delete({}) })
}

// Users: accepted members.

const users = list<Person>("/v1/users")
const invited = slot<Done>()

const invite = node({
  inputs: { account: scope.provisioning.account.info },
  outputs: { invited },
  run: ({ account }) => {
    const mapped = account.profile?.["email"]
    const primary = account.emails?.find((email) => email.isPrimary) ?? account.emails?.[0]
    const entitlement = account.profile?.["entitlement"]
    return worker.POST({
      path: "/v1/accounts",
      body: {
        email: typeof mapped === "string" && mapped !== "" ? mapped : (primary?.address ?? account.login),
        ...(typeof entitlement === "string" && entitlement !== "" ? { entitlement } : {}),
      },
    })
  },
  result: ({ response }) => ({ invited: response as Done }),
})

const createAccount = walk({
  nodes: [invite],
  from: { invited },
  to: ({ invited: { message, account } }) => {
    // The Worker tells the account of everything it has done; without one, the next sync shows what came of it.
    if (account === undefined) return accountResponse.inProgress({})
    const { resource_type, id, email } = account
    const resource = newUserResource(email, resource_type, id, {
      status: { status: "STATUS_ENABLED" },
      accountType: "ACCOUNT_TYPE_HUMAN",
      login: email,
      emails: [{ address: email, isPrimary: true }],
    })
    // An invitation, of now or of before, waits for the person; the same answer when this is replayed.
    return resource_type === "invitation"
      ? accountResponse.actionRequired({ message, resource })
      : accountResponse.alreadyExists({ resource })
  },
})

const userType = resourceType({
  id: "user",
  displayName: "User",
  description: "Accepted members of the account",
  traits: ["TRAIT_USER"],
  annotations: [annotations.skipEntitlementsAndGrants()],
  resources: walk({
    nodes: [users.rows],
    from: { person: users.row },
    to: ({ person }) =>
      newUserResource(person.display_name, "user", person.id, {
        status: { status: isLive(person) ? "STATUS_ENABLED" : "STATUS_DISABLED", details: standing(person) },
        accountType: "ACCOUNT_TYPE_HUMAN",
        login: person.email,
        emails: [{ address: person.email, isPrimary: true }],
        lastLogin: person.last_login === "" ? undefined : person.last_login,
        mfaStatus: person.two_factor === null ? undefined : { mfaEnabled: person.two_factor },
        structuredName: { givenName: person.first_name, familyName: person.last_name },
        profile: {
          login: person.email,
          email: person.email,
          first_name: person.first_name,
          last_name: person.last_name,
          status: standing(person),
          member_id: person.member_id,
          cloudflare_user_id: person.cloudflare_user_id,
          ...activity(person),
        },
      }),
  }),
  provisioning: {
    createAccount: {
      walk: createAccount,
      schema: {
        email: {
          displayName: "E-mail address",
          description: "Where Cloudflare sends the invitation.",
          placeholder: "jane.doe@example.com",
          required: true,
          order: 1,
          type: "string",
        },
        entitlement: {
          displayName: "First role",
          description:
            "The id of the entitlement that the invitation comes with, such as role:<id>:member. Empty: the Worker's DEFAULT_ROLE.",
          placeholder: "role:05784afa30c1afe1440e79d9351c7430:member",
          required: false,
          order: 2,
          type: "string",
        },
      },
      supportedCredentialOptions: ["CAPABILITY_DETAIL_CREDENTIAL_OPTION_NO_PASSWORD"],
      preferredCredentialOption: "CAPABILITY_DETAIL_CREDENTIAL_OPTION_NO_PASSWORD",
    },
  },
  resourceLifecycle: { delete: removal() },
})

// Invitations: people who have not accepted. They come and go by their nature, which is no anomaly of a sync.

const invitations = list<Person>("/v1/invitations")

const invitationType = resourceType({
  id: "invitation",
  displayName: "Invitation",
  description: "People who were invited to the account and have not accepted",
  traits: ["TRAIT_USER"],
  annotations: [annotations.skipEntitlementsAndGrants(), annotations.skipSyncAnomalyDetection()],
  resources: walk({
    nodes: [invitations.rows],
    from: { person: invitations.row },
    to: ({ person }) =>
      newUserResource(person.display_name, "invitation", person.id, {
        status: { status: isLive(person) ? "STATUS_ENABLED" : "STATUS_DISABLED", details: standing(person) },
        accountType: "ACCOUNT_TYPE_HUMAN",
        login: person.email,
        emails: [{ address: person.email, isPrimary: true }],
        profile: { email: person.email, status: standing(person), member_id: person.member_id },
      }),
  }),
  resourceLifecycle: { delete: removal() },
})

// Roles on the whole account.

const roles = list<Role>("/v1/roles")

const roleType = resourceType({
  id: "role",
  displayName: "Role",
  description: "Roles on the whole account",
  traits: ["TRAIT_ROLE"],
  resources: walk({
    nodes: [roles.rows],
    from: { role: roles.row },
    to: ({ role }) =>
      newRoleResource(
        role.name,
        "role",
        role.id,
        { profile: { role_id: role.id, role_name: role.name, label: role.label ?? "" } },
        { description: role.description },
      ),
  }),
  ...membership("role", "roles", (name) => `${name} Member Role`, (name) => `Has the ${name} role in Cloudflare`),
})

// Roles on a part of the account, such as one domain.

const scopedRoles = list<ScopedRole>("/v1/scoped-roles")

const scopedRoleType = resourceType({
  id: "scoped_role",
  displayName: "Scoped Role",
  description: "Roles on a part of the account, such as one domain",
  traits: ["TRAIT_ROLE"],
  resources: walk({
    nodes: [scopedRoles.rows],
    from: { role: scopedRoles.row },
    to: ({ role }) =>
      newRoleResource(role.name, "scoped_role", role.id, {
        profile: {
          permission_group_id: role.permission_group_id,
          permission_group_name: role.permission_group_name,
          resource_group_id: role.resource_group_id,
          resource_group_name: role.resource_group_name,
        },
      }),
  }),
  ...membership("scoped_role", "scoped-roles", (name) => `${name} Member Role`, (name) => `Has the role ${name} in Cloudflare`),
})

// User groups.

const groups = list<Group>("/v1/groups")

const groupType = resourceType({
  id: "group",
  displayName: "User Group",
  description: "User groups of the account",
  traits: ["TRAIT_GROUP"],
  resources: walk({
    nodes: [groups.rows],
    from: { group: groups.row },
    to: ({ group }) =>
      newGroupResource(group.name, "group", group.id, { profile: { group_id: group.id, group_name: group.name } }),
  }),
  ...membership("group", "groups", (name) => `${name} Member`, (name) => `Is in the ${name} user group in Cloudflare`),
})

// API tokens that the account owns. Their secrets are not known to the Worker.

const tokens = list<Token>("/v1/tokens")

const tokenType = resourceType({
  id: "api_token",
  displayName: "API Token",
  description: "API tokens that the account owns",
  traits: ["TRAIT_SECRET"],
  annotations: [annotations.skipEntitlementsAndGrants()],
  resources: walk({
    nodes: [tokens.rows],
    from: { token: tokens.row },
    to: ({ token }) => {
      const [type = "", id] = token.creator_id.split(":")
      return newSecretResource(token.name === "" ? token.id : token.name, "api_token", token.id, {
        credentialType: "CREDENTIAL_TYPE_STATIC_SECRET",
        credentialDetail: "cloudflare.account_api_token",
        createdAt: token.issued_on ?? undefined,
        expiresAt: token.expires_on ?? undefined,
        // The Worker tells the day.
        lastUsedAt: token.last_used_on === null ? undefined : `${token.last_used_on}T00:00:00Z`,
        createdById: id === undefined ? undefined : newResourceId(type, id),
        profile: { status: token.status, last_used_on: token.last_used_on ?? "" },
      })
    },
  }),
})

// Setting it up is checked with the Worker's status: the address and the token are right, or it does not come back.

const status = slot<unknown>()
const readStatus = node({
  outputs: { status },
  run: () => worker.GET({ path: "/v1/status" }),
  result: ({ response }) => ({ status: response }),
})

// Who logged in. ConductorOne reads usage of one resource with the trait of an app, and takes it for the person's last login. A change is
// no login, and somebody whose login nobody tells has no event.

const APP = "cloudflare"

const appType = resourceType({
  id: "app",
  displayName: "Application",
  description: "Cloudflare itself, which people log in to",
  traits: ["TRAIT_APP"],
  resources: walk({
    nodes: [readStatus],
    from: { status },
    to: () => newAppResource("Cloudflare", "app", APP),
  }),
  staticEntitlements: [
    // No role of Cloudflare's has this name, by which alone ConductorOne may know what it asks for.
    { slug: "access", displayName: "Log in to Cloudflare", description: "Logs in to Cloudflare", purpose: "PURPOSE_VALUE_ASSIGNMENT", grantableTo: people },
  ],
})

/**
 * How far the feed is read: the day from which on logins are told; the last day of a login that was met on the way; the generation that was
 * read to its end; and, on the way, the Worker's cursor.
 */
type Place = { readonly since: string; readonly last: string; readonly read: string; readonly next: string }

/** What cannot be read as a place is the beginning: every login is told again, by the same id. */
function place(cursor: string, startAt: string): Place {
  const [since, last, read, next] = cursor.split(" ")
  return next === undefined
    ? { since: startAt, last: "", read: "", next: "" }
    : { since: since ?? "", last: last ?? "", read: read ?? "", next }
}

const passed = ({ since, last, read, next }: Place) => [since, last, read, next].join(" ")

const MOST_EVENTS = 500

const loginPage = slot<Page<Person> | null>()
const readLogins = node({
  inputs: { cursor: scope.feed.cursor, pageSize: scope.feed.pageSize },
  outputs: { loginPage },
  run: ({ cursor, pageSize }) => {
    const { next } = place(cursor, "")
    const limit = pageSize > 0 ? Math.min(pageSize, MOST_EVENTS) : MOST_EVENTS
    return worker.GET({ path: "/v1/users", query: next === "" ? { limit } : { limit, cursor: next } })
  },
  result: ({ response }) => ({ loginPage: response as Page<Person> }),
  // The list that was begun may be gone: the next reading begins it again.
  error: ({ cursor, error }) => {
    if (place(cursor, "").next === "") throw error
    return { loginPage: null }
  },
})

const logins = eventFeed({
  name: "logins",
  id: "logins",
  supportedEventTypes: ["EVENT_TYPE_USAGE"],
  actions: [readLogins],
  inputs: { page: loginPage, cursor: scope.feed.cursor, startAt: scope.feed.startAt },
  events: ({ page, cursor, startAt }) => {
    const at = place(cursor, startAt)
    // Not at once: what goes wrong on each way through would be asked for without a pause.
    if (page === null) return { events: [], cursor: passed({ ...at, next: "" }), hasMore: false }
    // Nothing was published since.
    if (at.next === "" && at.read === page.generation) return { events: [], cursor: passed(at), hasMore: false }
    // The Worker tells logins by the day, so that day's are told again with the same ids: somebody may have logged in later.
    const found = page.items.filter((person) => person.last_login !== "" && person.last_login.slice(0, 10) >= at.since.slice(0, 10))
    const last = found.reduce((last, { last_login }) => (last_login > last ? last_login : last), at.last)
    const next = page.next_cursor ?? ""
    return {
      events: found.map((person) => ({
        id: `${person.id}-${person.last_login}`,
        occurredAt: new Date(person.last_login),
        usageEvent: {
          targetResource: newAppResource("Cloudflare", "app", APP),
          actorResource: newUserResource(person.display_name, "user", person.id, {
            login: person.email,
            emails: [{ address: person.email, isPrimary: true }],
          }),
        },
      })),
      cursor: passed(
        next === "" ? { since: last === "" ? at.since : last, last: "", read: page.generation, next } : { ...at, last, next },
      ),
      hasMore: next !== "",
    }
  },
})

export default connector({
  metadata: {
    displayName: "Cloudflare",
    description: "Members, roles, user groups and API tokens of a Cloudflare account, through the c1-cloudflare Worker.",
  },
  transports: { worker },
  resourceTypes: [userType, invitationType, groupType, roleType, scopedRoleType, tokenType, appType],
  eventFeeds: [logins],
  validate: walk({ nodes: [readStatus], from: { status }, to: () => ({}) }),
})
