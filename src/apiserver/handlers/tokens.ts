import type { UmiakError } from '#base/errors.ts';
import { checkGvk } from '#kinds/schema.ts';
import type { ServiceAccount, TokenRequest } from '#kinds/types.gen.ts';
import { fieldValidationOf, readBodyValue } from '../decode.ts';
import type { TokenIssuer, TokenOrder } from '../identity.ts';
import type { Context, Outcome, ResourceRoute } from '../request.ts';
import { cacheKeyOf, type Resources, type Stored } from '../resources.ts';
import { badRequest, conflict, forbidden, invalid, notFound } from '../status.ts';

const TOKEN_REQUEST = { group: 'authentication.k8s.io', version: 'v1', kind: 'TokenRequest' };
/** Upstream's bounds. */
const LEAST_SECONDS = 600;
const MOST_SECONDS = 2 ** 32;
const NODE_PREFIX = 'system:node:';

/** `serviceaccounts/x/token`: a signed, expiring token, bound to an object if asked. */
export function tokenHandler(resources: Resources, issueToken: TokenIssuer): (context: Context<ResourceRoute>) => Promise<Outcome> {
  const accounts = resources.stored('', 'v1', 'serviceaccounts');
  return async context => {
    const { namespace, name } = context.route;
    const { value, duplicates } = await readBodyValue(context);
    const { object: request } = checkGvk<TokenRequest>(TOKEN_REQUEST, value, {
      fieldValidation: fieldValidationOf(context.query),
      strictErrors: duplicates,
    });
    const account = accounts.cache.get(cacheKeyOf(namespace, name))?.object<ServiceAccount>();
    if (!account) throw notFound(accounts.resource, name);
    const { audiences = [], expirationSeconds = 3600, boundObjectRef } = request.spec ?? { audiences: [] };
    if (expirationSeconds < LEAST_SECONDS || expirationSeconds > MOST_SECONDS) {
      const why =
        expirationSeconds < LEAST_SECONDS
          ? 'may not specify a duration less than 10 minutes'
          : 'may not specify a duration larger than 2^32 seconds';
      const cause = {
        field: 'spec.expirationSeconds',
        reason: 'FieldValueInvalid',
        message: `Invalid value: ${expirationSeconds}: ${why}`,
      };
      throw invalid({ group: 'authentication.k8s.io', plural: 'tokenrequests', kind: 'TokenRequest' }, name, [cause]);
    }
    const order: TokenOrder = { namespace, serviceAccount: { name, uid: account.metadata.uid }, audiences, expirationSeconds };
    if (boundObjectRef) bindTo(order, boundObjectRef, resources, account);
    checkNode(context, order, accounts);
    const { token, expirationTimestamp, credentialId, ...issued } = await issueToken(order);
    if (context.annotations) context.annotations['authentication.kubernetes.io/issued-credential-id'] = credentialId;
    const spec = { ...request.spec, audiences: issued.audiences, expirationSeconds };
    const metadata = { name, namespace, creationTimestamp: null };
    return {
      type: 'value',
      status: 201,
      value: { kind: 'TokenRequest', apiVersion: 'authentication.k8s.io/v1', metadata, spec, status: { token, expirationTimestamp } },
    };
  };
}

const BOUND: Record<string, string> = { Pod: 'pods', Secret: 'secrets', Node: 'nodes' };

function bindTo(
  order: TokenOrder,
  { kind = '', name = '', uid }: { kind?: string | undefined; name?: string | undefined; uid?: string | undefined },
  resources: Resources,
  account: ServiceAccount,
): void {
  const plural = BOUND[kind];
  if (!plural) throw badRequest(`cannot bind token for serviceaccount "${account.metadata.name}" to object of kind "${kind}"`);
  const bound = resources.stored('', 'v1', plural);
  const object = bound.cache.get(cacheKeyOf(bound.resource.namespaced ? order.namespace : '', name))?.object();
  if (!object) throw notFound(bound.resource, name);
  if (uid && uid !== object.metadata.uid)
    throw conflict(
      bound.resource,
      name,
      `the UID in the bound object reference (${uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    );
  order.boundTo = { kind: kind as 'Pod' | 'Secret' | 'Node', name, uid: object.metadata.uid };
  const { serviceAccountName, nodeName } = (object as { spec?: { serviceAccountName?: string; nodeName?: string } }).spec ?? {};
  if (kind !== 'Pod') return;
  if (serviceAccountName !== account.metadata.name) {
    throw badRequest(`cannot bind token for serviceaccount "${account.metadata.name}" to pod running with different serviceaccount name.`);
  }
  if (!nodeName) return;
  const nodeUid = resources.stored('', 'v1', 'nodes').cache.get(nodeName)?.object().metadata.uid;
  order.node = { name: nodeName, ...(nodeUid && { uid: nodeUid }) };
}

/** A node gets tokens for the pods it runs, bound to them, and for nothing else. */
function checkNode({ identity }: Context, order: TokenOrder, accounts: Stored): void {
  if (!identity.groups.includes('system:nodes') || !identity.name.startsWith(NODE_PREFIX)) return;
  const refuse = (why: string): UmiakError => forbidden(accounts.resource, order.serviceAccount.name, why);
  if (order.boundTo?.kind !== 'Pod') throw refuse(`node requested token not bound to a pod`);
  if (order.node?.name !== identity.name.slice(NODE_PREFIX.length))
    throw refuse(`node requested token bound to a pod scheduled on a different node`);
}
