/**
 * What each resource of the API is: one mechanism for all 68.
 *
 * - `kind.ts`          the contract: a `Kind` is a row of discovery, a schema type and what people wrote by hand
 * - `types.gen.ts`, `schema.gen.json`  generated facts (tools/generate-kinds.ts)
 * - `registry.ts`      `builtinKinds` and how to find one
 * - `schema.ts`        the schema's check of what clients send; merge keys for patches
 * - `pod.ts`, …        one file a kind with hand-written parts; the others stand together by API group. A kind's value and its type
 *                      bear the same name: `Pod` is a `Kind<Pod>`
 * - `validate-object.ts` all that is wrong with an object; `validation.ts`, `names.ts`, `field-errors.ts` what its rules are made of
 * - `pod-resources.ts`, `pod-template.ts`, `tolerations.ts`, `node-affinity.ts`, `duration.ts`  pure helpers for controllers,
 *                      scheduler and node
 *
 * Everything here is pure: no clock, no I/O but reading the schema once. Nothing registers itself by being imported.
 */

export * from './admissionregistration.ts';
export * from './apiextensions.ts';
export * from './apiregistration.ts';
export * from './authentication.ts';
export * from './authorization.ts';
export * from './autoscaling.ts';
export * from './certificates.ts';
export * from './config-map.ts';
export * from './controller-revision.ts';
export * from './core.ts';
export * from './cron-job.ts';
export * from './daemon-set.ts';
export * from './deployment.ts';
export * from './endpoint-slice.ts';
export * from './event.ts';
export * from './flowcontrol.ts';
export * from './job.ts';
export * from './kind.ts';
export * from './lease.ts';
export * from './namespace.ts';
export * from './networking.ts';
export * from './node.ts';
export * from './pod.ts';
export * from './policy.ts';
export * from './rbac.ts';
export * from './registry.ts';
export * from './replica-set.ts';
export * from './replication-controller.ts';
export * from './resource.ts';
export * from './runtime-class.ts';
export * from './scheduling.ts';
export * from './secret.ts';
export * from './service.ts';
export * from './service-account.ts';
export * from './stateful-set.ts';
export * from './storage.ts';
