/**
 * The API server: Kubernetes' REST API over the kinds, kept in the store.
 *
 * A request's way is `pipeline.ts`, one line a step; the work by verb is `answer.ts`; every change goes through `writer.ts`, the bracket
 * mutate → prepare → validate → admit → claim → commit that is tried again when another was first.
 * - reading: `cluster-cache.ts` follows the store with one watch; `resource-cache.ts` keeps a resource in an `ordered-tree.ts` whose snapshots
 *   are lists' pages; `stored-object.ts` is bytes with a place for the revision; `list.ts`, `watch.ts`, `selection.ts`
 * - writing: `decode.ts`, `patch/`, `apply/`, `write-steps.ts`, `object-metadata.ts`, `deletion.ts`, `admission/`, `commits.ts`, `service-addresses.ts`
 * - answering: `media.ts`, `render.ts`, `table.ts`, `watch-http.ts`; `discovery.ts`, `openapi.ts`, `paths.ts`, `metrics.ts`
 * - wires: `http-server.ts` (one TLS port), `http-messages.ts`, `serve.ts`, `local-transport.ts` (the client's way in the same process), `node-proxy.ts`
 * - who may: `authn.ts` with `authn/`, `authz.ts`, `rbac.ts`, `node-authorizer.ts`, joined by `security.ts`
 * - whose turn it is: `flow-control/`; what is written down: `audit-step.ts`
 * - `server.ts` puts it together: `startApiServer`; `bootstrap.ts` makes what every cluster has
 *
 * Invariants: readers and watchers see only what is durable; a writer sees what it wrote; a request's refusal is a `Status` with
 * the reason and field; nothing here keeps truth outside the store. It knows no controllers.
 */
export * from './bootstrap.ts';
export * from './direct-node-connector.ts';
export * from './identity.ts';
export * from './node-connector.ts';
export * from './security.ts';
export * from './server.ts';
