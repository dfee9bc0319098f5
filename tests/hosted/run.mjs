// Calls a connector's entry points as ConductorOne would. Reads one JSON document from standard input:
//   { "config": {…}, "pageSize": n, "calls": [{ "at": "resources" | "grants" | … , … }] }
// and writes { "results": […], "requests": […] }; a call that was refused has { "refused": { "status", "body" } }.

import connector from "../../c1/connector/connector.ts"
import { feed, fields, Refused, requests, run, scope, settings } from "./runtime.mjs"

const types = new Map(connector.resourceTypes.map((type) => [type.id, type]))
const id = (resourceType, resource) => ({ resourceType, resource })
const request = ({ type, id, displayName = id }) => ({ id, resourceType: type, displayName })

const skips = (type) => (type.annotations ?? []).some((note) => note["@type"].endsWith(".SkipEntitlementsAndGrants"))

/** What C1 knows of a grant that it wants revoked. */
const held = ({ type, id: resource, principal }) => ({
  id: `${type}:${resource}:member:${principal.type}:${principal.id}`,
  entitlement: { id: `${type}:${resource}:member`, resource: { id: id(type, resource), displayName: resource } },
  principal: { id: id(principal.type, principal.id) },
})

/** One resource type, which must have what is asked of it. */
function find(type, what) {
  const found = what.split(".").reduce((inner, key) => inner?.[key], types.get(type))
  if (found === undefined) throw new Error(`${type} has no ${what}`)
  return found
}

const one = (all) => {
  if (all.length !== 1) throw new Error(`an answer was expected, not ${all.length}`)
  return all[0]
}

const endpoints = {
  async resources() {
    const found = []
    for (const type of types.values()) found.push(...(await run(type.resources, [])))
    return found
  },
  /** Entitlements and grants of resources that were listed before: `[{ type, id, displayName }]`. */
  async grants({ of }) {
    const found = { entitlements: [], grants: [] }
    for (const resource of of) {
      const type = types.get(resource.type)
      // What each resource of a type has is told by the type.
      if (skips(type) || type.entitlements === undefined) continue
      const ambient = [[scope.resource, request(resource)]]
      found.entitlements.push(...(await run(type.entitlements, ambient)))
      found.grants.push(...(await run(type.grants, ambient)))
    }
    return found
  },
  async grant(call) {
    const principal = { id: id(call.principal.type, call.principal.id), displayName: "" }
    const ambient = [[scope.resource, request(call)], [scope.principal, principal]]
    return one(await run(find(call.type, "provisioning.grant"), ambient))
  },
  async revoke(call) {
    const ambient = [[scope.resource, request(call)], [scope.grant, held(call)]]
    return one(await run(find(call.type, "provisioning.revoke"), ambient))
  },
  async createAccount({ info }) {
    return one(await run(find("user", "provisioning.createAccount").walk, [[scope.provisioning.account.info, info]]))
  },
  async delete(call) {
    return one(await run(find(call.type, "resourceLifecycle.delete"), [[scope.delete.resourceId, id(call.type, call.id)]]))
  },
  async validate() {
    return one(await run(connector.validate, []))
  },
  /** An event feed, page after page until there is no more. */
  async events({ cursor = "", startAt = "", pageSize = 0 }) {
    const spec = one(connector.eventFeeds)
    const found = []
    for (let call = 0; call < 1_000; call += 1) {
      const ambient = { id: spec.id, cursor, startAt, pageSize }
      const told = await feed(spec, Object.entries(ambient).map(([name, value]) => [scope.feed[name], value]))
      if (pageSize > 0 && told.events.length > pageSize) throw new Error("more events than were asked for")
      found.push(...told.events)
      cursor = told.cursor
      if (!told.hasMore) return { events: found, cursor }
    }
    throw new Error("the feed has no end")
  },
  /** What the connector declares, to be compared with its JSON files. */
  async describe() {
    const describe = (type) => ({
      id: type.id,
      displayName: type.displayName,
      traits: type.traits,
      grants: type.provisioning?.grant !== undefined && type.provisioning?.revoke !== undefined,
      creates: type.provisioning?.createAccount !== undefined,
      deletes: type.resourceLifecycle?.delete !== undefined,
      credentials: type.provisioning?.createAccount?.supportedCredentialOptions,
      marks: (type.staticEntitlements ?? []).map((mark) => mark.displayName),
    })
    return {
      metadata: connector.metadata,
      feeds: (connector.eventFeeds ?? []).map((feed) => ({ id: feed.id, types: feed.supportedEventTypes })),
      types: [...types.values()].map(describe),
      fields: [...fields.all],
      secrets: [...fields.secret],
    }
  },
}

let text = ""
for await (const chunk of process.stdin) text += chunk
const { calls, ...given } = JSON.parse(text)
Object.assign(settings, given)
const results = []
for (const call of calls) {
  try {
    results.push(await endpoints[call.at](call))
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    results.push({ refused: { status: error.status, body: error.body } })
  }
}
process.stdout.write(JSON.stringify({ results, requests }))
