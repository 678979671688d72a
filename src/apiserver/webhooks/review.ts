import { randomUUID } from 'node:crypto';
import { UmiakError } from '#base/errors.ts';
import type { KubeObject } from '#kinds/kind.ts';
import type { Served } from '../resources.ts';
import { type Status, StatusError } from '../status.ts';
import type { AdmissionAttributes, Gvk } from './attributes.ts';

/** `admission.k8s.io` `AdmissionRequest`: the same in v1 and v1beta1. */
export interface AdmissionRequest {
  uid: string;
  kind: Gvk;
  resource: { group: string; version: string; resource: string };
  subResource?: string;
  requestKind: Gvk;
  requestResource: { group: string; version: string; resource: string };
  requestSubResource?: string;
  name?: string;
  namespace?: string;
  operation: AdmissionAttributes['operation'];
  userInfo: { username: string; uid?: string; groups: string[]; extra?: Record<string, string[]> };
  object: KubeObject | null;
  oldObject: KubeObject | null;
  dryRun: boolean;
  options: object | null;
}

/** What a webhook said. */
export interface Verdict {
  allowed: boolean;
  patch?: unknown[];
  status?: Partial<Status>;
  warnings: string[];
  auditAnnotations: Record<string, string>;
}

const REVIEW_VERSIONS = ['v1', 'v1beta1'];
const MOST_WARNINGS = 50;
const OPTIONS = { CREATE: 'CreateOptions', UPDATE: 'UpdateOptions', DELETE: 'DeleteOptions', CONNECT: undefined };

/** The first version of the review that both sides speak. */
export function reviewVersion(versions: readonly string[]): string | undefined {
  return versions.find(version => REVIEW_VERSIONS.includes(version));
}

/** The request as a webhook gets it that sees `served`. */
export function toAdmissionRequest(attributes: AdmissionAttributes, served: Served): AdmissionRequest {
  const { operation, subresource, namespace, name, identity, dryRun } = attributes;
  const gvk = ({ resource: { group, version, kind } }: Served): Gvk => attributes.kind ?? { group, version, kind };
  const gvr = ({ resource: { group, version, plural } }: Served) => ({ group, version, resource: plural });
  const options = OPTIONS[operation];
  const isNamespace = served.resource.plural === 'namespaces' && served.resource.group === '';
  const within = isNamespace ? name : namespace;
  return {
    uid: randomUUID(),
    kind: gvk(served),
    resource: gvr(served),
    ...(subresource && { subResource: subresource }),
    requestKind: gvk(attributes.served),
    requestResource: gvr(attributes.served),
    ...(subresource && { requestSubResource: subresource }),
    ...(name && { name }),
    ...(within && { namespace: within }),
    operation,
    userInfo: {
      username: identity.name,
      ...(identity.uid !== undefined && { uid: identity.uid }),
      groups: [...identity.groups],
      ...(identity.extra && Object.keys(identity.extra).length > 0 && { extra: identity.extra as Record<string, string[]> }),
    },
    object: attributes.object(served),
    oldObject: attributes.old(served),
    dryRun,
    options: options ? { kind: options, apiVersion: 'meta.k8s.io/v1', ...attributes.options, ...(dryRun && { dryRun: ['All'] }) } : null,
  };
}

/** Reads a webhook's answer. @throws Error with what is wrong with it */
export function fromAdmissionReview(answer: unknown, version: string, uid: string): Verdict {
  const review = asObject(answer);
  const expected = `admission.k8s.io/${version}`;
  if (review.apiVersion !== expected || review.kind !== 'AdmissionReview') {
    if (version === 'v1' || review.apiVersion !== undefined || review.kind !== undefined)
      throw new Error(
        `expected webhook response of ${expected}, Kind=AdmissionReview, got ${text(review.apiVersion)}, Kind=${text(review.kind)}`,
      );
  }
  if (typeof review.response !== 'object' || review.response === null) throw new Error('webhook response was absent');
  const response = asObject(review.response);
  if (version === 'v1' && response.uid !== uid) throw new Error(`expected response.uid="${uid}", got "${text(response.uid)}"`);
  const patch = typeof response.patch === 'string' && response.patch !== '' ? response.patch : undefined;
  const patchType = response.patchType;
  if (patch !== undefined && patchType === undefined && version === 'v1')
    throw new Error('webhook returned response.patch but not response.patchType');
  if (patch === undefined && patchType !== undefined && patchType !== null)
    throw new Error('webhook returned response.patchType but not response.patch');
  if (patch !== undefined && patchType !== undefined && patchType !== 'JSONPatch')
    throw new Error(`invalid response.patchType of "${text(patchType)}", must be "JSONPatch"`);
  const operations: unknown = patch === undefined ? undefined : JSON.parse(Buffer.from(patch, 'base64').toString());
  if (operations !== undefined && !Array.isArray(operations)) throw new Error('webhook returned a patch that is no list of operations');
  return {
    allowed: response.allowed === true,
    ...(operations !== undefined && { patch: operations }),
    ...(typeof response.status === 'object' && response.status !== null && { status: response.status as Partial<Status> }),
    warnings: strings(response.warnings).slice(0, MOST_WARNINGS),
    auditAnnotations: Object.fromEntries(
      Object.entries(asObject(response.auditAnnotations ?? {})).flatMap(([key, value]) =>
        typeof value === 'string' ? [[key, value]] : [],
      ),
    ),
  };
}

/** The refusal that the client reads: the webhook's own status under the webhook's name. */
export function toDenial(name: string, status: Partial<Status> = {}): UmiakError {
  const deniedBy = `admission webhook "${name}" denied the request`;
  const { message, reason, details } = status;
  const code = typeof status.code === 'number' && status.code >= 400 && status.code < 600 ? status.code : 400;
  return new StatusError({
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: message ? `${deniedBy}: ${text(message)}` : reason ? `${deniedBy}: ${text(reason)}` : `${deniedBy} without explanation`,
    ...(reason && { reason: text(reason) }),
    ...(typeof details === 'object' && details !== null && { details }),
    code,
  });
}

/** A webhook that could not be asked. */
export function failedCall(name: string, why: string): UmiakError {
  return new UmiakError('InternalError', `Internal error occurred: failed calling webhook "${name}": ${why}`, {
    details: { causes: [{ reason: 'InternalError', message: `failed calling webhook "${name}": ${why}`, field: '' }] },
  });
}

function asObject(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error('webhook response is no JSON object');
  return value as Record<string, unknown>;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, 4096) : value === undefined ? '' : JSON.stringify(value).slice(0, 256);
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter(one => typeof one === 'string') : [];
}
