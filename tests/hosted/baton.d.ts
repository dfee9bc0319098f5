// The shape of what connector.ts uses of ConductorOne's authoring modules, after their public description
// (ConductorOne/connector-authoring). Only what is used is here, and nothing that the real modules would refuse.

declare module "@baton/runtime" {
  import type {
    AccountInfo,
    AccountResult,
    Annotation,
    Entitlement,
    Grant,
    Outcome,
    Resource,
    ResourceId,
    ResourceTypeReference,
    Trait,
  } from "@baton/types"

  /** Where the runtime calls into a connector. */
  type Endpoint =
    | "resources"
    | "entitlements"
    | "grants"
    | "grant"
    | "revoke"
    | "deleteResource"
    | "createAccount"
    | "validate"
    | "eventFeed"

  /** A place that one node fills and others read. Two slots are never the same. */
  export interface Slot<T> {
    readonly kind: "slot"
    readonly __value: T
  }

  /** A value that the runtime provides, at some endpoints only. */
  export interface Provided<T, At extends Endpoint> {
    readonly kind: "request"
    readonly __value: T
    readonly __at: (endpoint: At) => void
  }

  type Input = Slot<any> | Provided<any, never>
  type Inputs = Readonly<Record<string, Input>>
  type Outputs = Readonly<Record<string, Slot<any>>>
  type Values<I> = { readonly [K in keyof I]: I[K] extends { readonly __value: infer T } ? T : never }
  /** The endpoints at which each of some inputs is provided. */
  type Reach<I> = { [K in keyof I]: I[K] extends Provided<any, infer At> ? At : never }[keyof I]

  /** An operation that can run at some endpoints. */
  export interface Node<At extends Endpoint> {
    readonly __runsAt: (endpoint: At) => void
  }

  /** What a walk may draw from at an endpoint. */
  type Source<At extends Endpoint> = Slot<any> | Provided<any, At>

  /** A walk whose nodes and sources suit an endpoint, and which ends in `T`. */
  export interface Walk<At extends Endpoint, T> {
    readonly kind: "walk"
    readonly nodes?: readonly Node<At>[]
    readonly from: Readonly<Record<string, Source<At>>>
    readonly to: (values: any) => T
  }

  interface BuiltWalk<I, N, T> {
    readonly kind: "walk"
    readonly nodes?: N
    readonly from: I
    readonly to: (values: any) => T
  }

  /** A request that is described, not made. */
  export interface Execution {
    readonly __execution: "http"
  }

  type Path = readonly [string, ...string[]]

  /** Pages by a token of the answer's body, which the next request carries as a parameter of its query. */
  export interface ResponseToken {
    readonly kind: "response_token"
    readonly tokenParam: string
    readonly tokenPath: Path
    readonly hasNextPath?: Path
    readonly pageSize?: number
    readonly pageSizeParam?: string
    readonly maxPages?: number
  }

  interface Call {
    readonly path: string
    readonly query?: Readonly<Record<string, unknown>>
    readonly headers?: Readonly<Record<string, unknown>>
    readonly body?: unknown
    readonly pagination?: ResponseToken
  }

  export interface Transport {
    GET(call: Call): Execution
    POST(call: Call): Execution
    PUT(call: Call): Execution
    DELETE(call: Call): Execution
  }

  interface ConfigField<T, Name extends string> {
    readonly kind: "config"
    readonly name: Name
    readonly __value?: T
  }
  export interface PublicConfigField<T, Name extends string> extends ConfigField<T, Name> {
    readonly __public: true
  }
  export interface SecretConfigField<T, Name extends string> extends ConfigField<T, Name> {
    readonly __secret: true
  }

  export interface RequestResource {
    readonly id: string
    readonly resourceType: string
    readonly displayName: string
  }

  export type RuntimeEntitlement = Omit<Entitlement, "resource">
  export type RuntimeGrant = Omit<Grant, "entitlement"> & { readonly entitlement: { readonly id: string } }

  /** A field of what is asked for a new account. */
  export interface AccountField {
    readonly displayName: string
    readonly required?: boolean
    readonly description?: string
    readonly placeholder?: string
    readonly order?: number
    readonly type: "string" | "stringList" | "bool" | "int" | "map"
  }

  /** An entitlement that each resource of a type has. */
  export interface EntitlementTemplate {
    readonly slug: string
    readonly displayName?: string
    readonly description?: string
    readonly purpose?: Entitlement["purpose"]
    readonly grantableTo?: readonly ResourceTypeReference[]
  }

  /** One event: that somebody used something. */
  export interface UsageEvent {
    readonly id: string
    readonly occurredAt: Date
    readonly usageEvent: { readonly targetResource: Resource; readonly actorResource: Resource }
  }

  export interface EventFeedSpec<I extends Inputs> {
    readonly name: string
    readonly id: string
    readonly supportedEventTypes: readonly "EVENT_TYPE_USAGE"[]
    readonly actions: readonly Node<"eventFeed">[]
    readonly inputs: I
    readonly events: (values: Values<I>) => {
      readonly events: UsageEvent | readonly UsageEvent[]
      readonly cursor: string
      readonly hasMore: boolean
    }
  }

  type CredentialOption = "CAPABILITY_DETAIL_CREDENTIAL_OPTION_NO_PASSWORD"

  export interface ResourceTypeSpec {
    readonly id: string
    readonly displayName?: string
    readonly description?: string
    readonly traits?: readonly Trait[]
    readonly annotations?: readonly Annotation[]
    readonly resources?: Walk<"resources", Resource>
    readonly entitlements?: Walk<"entitlements", RuntimeEntitlement>
    readonly staticEntitlements?: readonly EntitlementTemplate[]
    readonly grants?: Walk<"grants", RuntimeGrant>
    readonly provisioning?: {
      readonly grant?: Walk<"grant", Outcome>
      readonly revoke?: Walk<"revoke", Outcome>
      readonly createAccount?: {
        readonly walk: Walk<"createAccount", AccountResult>
        readonly schema?: Readonly<Record<string, AccountField>>
        readonly supportedCredentialOptions?: readonly CredentialOption[]
        readonly preferredCredentialOption?: CredentialOption
      }
    }
    readonly resourceLifecycle?: { readonly delete?: Walk<"deleteResource", Outcome> }
  }

  export interface ConnectorSpec {
    readonly metadata: { readonly displayName: string; readonly description: string }
    readonly transports: Readonly<Record<string, Transport>>
    readonly resourceTypes: readonly ResourceTypeSpec[]
    readonly eventFeeds?: readonly EventFeedSpec<any>[]
    readonly validate?: Walk<"validate", { readonly annotations?: readonly Annotation[] }>
  }

  export function slot<T>(): Slot<T>
  export function config<Name extends string>(name: Name): ConfigField<unknown, Name>

  export function node<const O extends Outputs>(spec: {
    readonly inputs?: never
    readonly outputs: O
    readonly run: () => Execution
    readonly result: (answer: { readonly response: unknown }) => Values<O> | readonly Values<O>[]
  }): Node<Endpoint>
  export function node<const I extends Inputs, const O extends Outputs>(spec: {
    readonly inputs: I
    readonly outputs: O
    readonly run: (values: Values<I>) => Execution
    readonly result: (answer: Values<I> & { readonly response: unknown }) => Values<O> | readonly Values<O>[]
    readonly error?: (failure: Values<I> & { readonly error: unknown }) => Values<O> | readonly Values<O>[]
  }): Node<Reach<I>>

  export function walk<const I extends Inputs, T, const N extends readonly Node<any>[] = readonly []>(spec: {
    readonly nodes?: N
    readonly from: I
    readonly to: (values: Values<I>) => T
  }): BuiltWalk<I, N, T>

  export function resourceType(spec: ResourceTypeSpec): ResourceTypeSpec
  export function eventFeed<const I extends Readonly<Record<string, Slot<any> | Provided<any, "eventFeed">>>>(
    spec: EventFeedSpec<I>,
  ): EventFeedSpec<I>
  export function connector(spec: ConnectorSpec): ConnectorSpec

  export const http: {
    v1(spec: {
      readonly baseUrl: PublicConfigField<string, string> | string
      readonly auth: { readonly type: "bearer"; readonly token: SecretConfigField<string, string> }
      readonly headers?: Readonly<Record<string, PublicConfigField<string, string> | string>>
    }): Transport
  }

  export const scope: {
    readonly resource: Provided<RequestResource, "entitlements" | "grants" | "grant" | "revoke">
    readonly principal: Provided<Resource, "grant">
    readonly grant: Provided<Grant, "revoke">
    readonly feed: {
      readonly id: Provided<string, "eventFeed">
      readonly cursor: Provided<string, "eventFeed">
      readonly startAt: Provided<string, "eventFeed">
      readonly pageSize: Provided<number, "eventFeed">
    }
    readonly delete: { readonly resourceId: Provided<ResourceId, "deleteResource"> }
    readonly provisioning: { readonly account: { readonly info: Provided<AccountInfo, "createAccount"> } }
  }
}

declare module "@baton/helpers" {
  import type { AccountResult, Annotation, Outcome, Resource } from "@baton/types"

  export function entitlementId(resourceType: string, resource: string, slug: string): string
  export function grantId(entitlement: string, principalType: string, principal: string): string

  export const annotations: {
    skipEntitlementsAndGrants(): Annotation
    skipSyncAnomalyDetection(): Annotation
    grantAlreadyExists(): Annotation
    grantAlreadyRevoked(): Annotation
    grantExpandable(spec: {
      readonly entitlementIds: readonly string[]
      readonly resourceTypeIds: readonly string[]
      readonly shallow?: boolean
    }): Annotation
  }

  interface Told {
    readonly annotations?: readonly Annotation[]
  }
  export const provisioningResponse: { grant(spec: Told): Outcome; revoke(spec: Told): Outcome }
  export const resourceResponse: { delete(spec: Told): Outcome }

  type About = Told & { readonly resource?: Resource }
  export const accountResponse: {
    alreadyExists(spec: About): AccountResult
    inProgress(spec: About): AccountResult
    actionRequired(spec: About & { readonly message: string }): AccountResult
  }
}

declare module "@baton/types" {
  export interface Annotation {
    readonly "@type": string
    readonly [key: string]: unknown
  }
  export type Trait = "TRAIT_USER" | "TRAIT_GROUP" | "TRAIT_ROLE" | "TRAIT_APP" | "TRAIT_SECRET"
  export const TRAIT_USER: "TRAIT_USER"

  export interface ResourceTypeReference {
    readonly id: string
    readonly displayName: string
    readonly traits?: readonly Trait[]
    readonly annotations?: readonly Annotation[]
  }
  export interface ResourceId {
    readonly resourceType: string
    readonly resource: string
  }
  export interface Resource {
    readonly id: ResourceId
    readonly displayName: string
    readonly description?: string
    readonly annotations?: readonly Annotation[]
  }
  export interface Entitlement {
    readonly resource: Resource
    readonly id: string
    readonly slug?: string
    readonly displayName: string
    readonly description: string
    readonly purpose: "PURPOSE_VALUE_ASSIGNMENT" | "PURPOSE_VALUE_PERMISSION"
    readonly grantableTo?: readonly ResourceTypeReference[]
    readonly annotations?: readonly Annotation[]
  }
  export interface Grant {
    readonly id?: string
    readonly entitlement: Entitlement
    readonly principal: Omit<Resource, "displayName"> & { readonly displayName?: string }
    readonly annotations?: readonly Annotation[]
  }

  /** What a grant, a revoke or a removal answers. */
  export interface Outcome {
    readonly annotations?: readonly Annotation[]
  }
  /** What an account's creation answers: one of the three. */
  export interface AccountResult extends Outcome {
    readonly alreadyExists?: { readonly resource?: Resource }
    readonly inProgress?: { readonly resource?: Resource }
    readonly actionRequired?: { readonly resource?: Resource; readonly message: string }
  }
  /** Who is to have an account. */
  export interface AccountInfo {
    readonly login: string
    readonly emails?: readonly { readonly address: string; readonly isPrimary: boolean }[]
    readonly profile?: Record<string, unknown>
  }

  type Profile = Readonly<Record<string, unknown>>
  interface UserTrait {
    readonly status?: {
      readonly status: "STATUS_ENABLED" | "STATUS_DISABLED" | "STATUS_DELETED"
      readonly details?: string
    }
    readonly accountType?: "ACCOUNT_TYPE_HUMAN" | "ACCOUNT_TYPE_SERVICE" | "ACCOUNT_TYPE_SYSTEM"
    readonly login?: string
    readonly emails?: readonly { readonly address: string; readonly isPrimary?: boolean }[]
    readonly lastLogin?: string
    readonly mfaStatus?: { readonly mfaEnabled: boolean }
    readonly structuredName?: { readonly givenName?: string; readonly familyName?: string }
    readonly profile?: Profile
  }
  interface SecretTrait {
    readonly credentialType?: "CREDENTIAL_TYPE_STATIC_SECRET"
    readonly credentialDetail?: string
    readonly createdAt?: string
    readonly expiresAt?: string
    readonly lastUsedAt?: string
    readonly createdById?: ResourceId
    readonly profile?: Profile
  }
  interface Options {
    readonly description?: string
  }
  type Make<T> = (name: string, type: string, id: string, trait?: T, options?: Options) => Resource

  export function newResourceId(type: string, id: string): ResourceId
  export const newUserResource: Make<UserTrait>
  export const newGroupResource: Make<{ readonly profile?: Profile }>
  export const newRoleResource: Make<{ readonly profile?: Profile }>
  export const newAppResource: Make<{ readonly profile?: Profile }>
  export const newSecretResource: Make<SecretTrait>
}
