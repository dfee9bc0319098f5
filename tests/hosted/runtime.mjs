// A stand-in for the hosted runtime, as far as connector.ts needs one: it takes the declared graph, makes its requests, turns
// pages to their end, and gives the rows to the walks. It is strict where the real one may be lenient: a field that an answer
// does not have, a value that an endpoint does not provide, a page that never ends and an answer that is no JSON are errors.

const PAGES = 10_000
const proto = (name, fields = {}) => ({ "@type": `type.googleapis.com/c1.connector.v2.${name}`, ...fields })

/** The names of the configuration fields that the connector refers to, and which of them are used as secrets. */
export const fields = { all: new Set(), secret: new Set() }

/** What was asked, in order: method and path with its query. */
export const requests = []

/** What a test sets: the configuration's values, and the page size in place of the connector's own. */
export const settings = { config: {}, pageSize: undefined }

export const slot = () => ({ kind: "slot" })
export const node = (spec) => spec
export const walk = (spec) => ({ kind: "walk", ...spec })
export const resourceType = (spec) => spec
export const connector = (spec) => spec
export const eventFeed = (spec) => spec
export const config = (name) => {
  fields.all.add(name)
  return { kind: "config", name }
}

const provided = (name) => ({ kind: "request", name })
export const scope = {
  resource: provided("resource"),
  principal: provided("principal"),
  grant: provided("grant"),
  delete: { resourceId: provided("delete.resourceId") },
  feed: { id: provided("feed.id"), cursor: provided("feed.cursor"), startAt: provided("feed.startAt"), pageSize: provided("feed.pageSize") },
  provisioning: { account: { info: provided("provisioning.account.info") } },
}

export const http = {
  v1(spec) {
    fields.secret.add(spec.auth.token.name)
    const transport = { spec }
    for (const method of ["GET", "POST", "PUT", "DELETE"]) {
      transport[method] = (call) => ({ transport, method, call })
    }
    return transport
  },
}

/** An answer that is no success: what the real runtime hands to the caller as an error. */
export class Refused extends Error {
  constructor(status, body) {
    super(`${status} ${JSON.stringify(body)}`)
    Object.assign(this, { status, body })
  }
}

const resolved = (value) => {
  if (typeof value === "string") return value
  const found = settings.config[value.name]
  if (typeof found !== "string" || found === "") throw new Error(`the configuration has no ${value.name}`)
  return found
}

async function send({ transport, method, call }, query) {
  const url = new URL(resolved(transport.spec.baseUrl) + call.path)
  for (const [name, value] of Object.entries({ ...call.query, ...query })) url.searchParams.set(name, String(value))
  requests.push(`${method} ${url.pathname}${url.search}`)
  const headers = { ...transport.spec.headers, authorization: `Bearer ${resolved(transport.spec.auth.token)}` }
  const body = call.body === undefined ? undefined : JSON.stringify(call.body)
  if (body !== undefined) headers["content-type"] = "application/json"
  const response = await fetch(url, { method, headers, body })
  const answer = await response.json()
  if (!response.ok) throw new Refused(response.status, answer)
  return answer
}

/** What an answer may lack: the cursor of the last page, and the account of a change that made none. */
const OPTIONAL = new Set(["next_cursor", "account", "toJSON"])

/** The same value, which throws where something is read that is not there. */
function strict(value) {
  if (typeof value !== "object" || value === null) return value
  if (Array.isArray(value)) return value.map(strict)
  const fields = Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, strict(inner)]))
  return new Proxy(fields, {
    get(target, name) {
      if (typeof name === "string" && !(name in target) && !OPTIONAL.has(name)) {
        throw new Error(`an answer has no ${name}, only ${Object.keys(target).join(", ")}`)
      }
      return target[name]
    },
  })
}

const at = (value, path) => path.reduce((inner, key) => inner?.[key], value)

async function* pages(execution) {
  const paging = execution.call.pagination
  if (paging === undefined) {
    yield await send(execution, {})
    return
  }
  if (paging.kind !== "response_token") throw new Error(`no pages of kind ${paging.kind}`)
  let token
  for (let page = 0; page < PAGES; page += 1) {
    const query = { [paging.pageSizeParam]: settings.pageSize ?? paging.pageSize }
    if (token !== undefined) query[paging.tokenParam] = token
    const answer = await send(execution, query)
    yield answer
    const next = at(answer, paging.tokenPath)
    if (next === undefined || next === null || next === "") return
    if (next === token) throw new Error(`the same page comes again and again: ${execution.call.path}`)
    token = next
  }
  throw new Error(`more than ${PAGES} pages: ${execution.call.path}`)
}

const list = (value) => (Array.isArray(value) ? value : [value])

function values(inputs, known) {
  return Object.fromEntries(
    Object.entries(inputs ?? {}).map(([name, binding]) => {
      if (!known.has(binding)) throw new Error(`${name} (${binding.kind} ${binding.name ?? ""}) is not there`)
      return [name, known.get(binding)]
    }),
  )
}

/** Runs a walk to its end, given what the endpoint provides; gives everything it comes to. */
export async function run(walk, ambient) {
  let rows = [new Map(ambient)]
  const waiting = [...(walk.nodes ?? [])]
  while (waiting.length > 0) {
    const filled = (node) => Object.values(node.inputs ?? {}).every((binding) => binding.kind !== "slot" || rows[0]?.has(binding))
    const place = waiting.findIndex(filled)
    if (place < 0) {
      if (rows.length === 0) return []
      throw new Error("nodes wait for slots that nobody fills")
    }
    const [node] = waiting.splice(place, 1)
    const after = []
    for (const row of rows) {
      const inputs = values(node.inputs, row)
      for await (const response of pages(node.run(inputs))) {
        for (const delta of list(node.result({ ...inputs, response: strict(response) }))) {
          const next = new Map(row)
          for (const [name, binding] of Object.entries(node.outputs)) {
            if (!(name in delta)) throw new Error(`a result lacks ${name}`)
            next.set(binding, delta[name])
          }
          after.push(next)
        }
      }
    }
    rows = after
  }
  return rows.flatMap((row) => list(walk.to(values(walk.from, row))))
}

/** One call of an event feed: its requests are made once, and what they fill is one row. */
export async function feed(spec, ambient) {
  const row = new Map(ambient)
  for (const node of spec.actions) {
    const inputs = values(node.inputs, row)
    const execution = node.run(inputs)
    if (execution.call.pagination !== undefined) throw new Error("an event feed turns its own pages")
    let delta
    try {
      delta = node.result({ ...inputs, response: strict(await send(execution, {})) })
    } catch (error) {
      if (node.error === undefined) throw error
      delta = node.error({ ...inputs, error })
    }
    for (const [name, binding] of Object.entries(node.outputs)) row.set(binding, delta[name])
  }
  const told = spec.events(values(spec.inputs, row))
  if (typeof told.cursor !== "string" || new TextEncoder().encode(told.cursor).length > 4096) throw new Error("no cursor")
  return told
}

// @baton/helpers

export const entitlementId = (type, resource, slug) => `${type}:${resource}:${slug}`
export const grantId = (entitlement, type, id) => `${entitlement}:${type}:${id}`

export const annotations = {
  skipEntitlementsAndGrants: () => proto("SkipEntitlementsAndGrants"),
  skipSyncAnomalyDetection: () => proto("SkipSyncAnomalyDetection"),
  grantAlreadyExists: () => proto("GrantAlreadyExists"),
  grantAlreadyRevoked: () => proto("GrantAlreadyRevoked"),
  grantExpandable: ({ entitlementIds, resourceTypeIds }) =>
    proto("GrantExpandable", { entitlement_ids: entitlementIds, resource_type_ids: resourceTypeIds }),
}

const told = ({ annotations = [] }) => ({ annotations })
export const provisioningResponse = { grant: told, revoke: told }
export const resourceResponse = { delete: told }
export const accountResponse = {
  alreadyExists: ({ resource }) => ({ alreadyExists: { resource } }),
  inProgress: ({ resource }) => ({ inProgress: { resource } }),
  actionRequired: ({ resource, message }) => ({ actionRequired: { resource, message } }),
}

// @baton/types

export const TRAIT_USER = "TRAIT_USER"
export const newResourceId = (resourceType, resource) => ({ resourceType, resource })
const maker = (trait) => (displayName, type, id, fields, options) => ({
  id: newResourceId(type, id),
  displayName,
  ...options,
  annotations: [proto(trait, fields)],
})
export const newUserResource = maker("UserTrait")
export const newGroupResource = maker("GroupTrait")
export const newRoleResource = maker("RoleTrait")
export const newAppResource = maker("AppTrait")
export const newSecretResource = maker("SecretTrait")
