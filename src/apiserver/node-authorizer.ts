import { parseFieldSelector } from '#base/field-selector.ts';
import type { KubeObject } from '#kinds/kind.ts';
import { LOCAL_PATH_NODE, localPathNodeLabel } from '#kinds/local-path.ts';
import { MIRROR_NAMESPACE } from '#kinds/mirror-pod.ts';
import type { PersistentVolume, Pod } from '#kinds/types.gen.ts';
import type { Attributes, Decision, Identity } from './identity.ts';
import { ruleAllows } from './rbac-rules.ts';

const NODE_USER = 'system:node:';
const NODE_GROUP = 'system:nodes';

/** What every node may do, whatever its name: reads that are nobody's secret, and writes that name no object of another. */
export const NODE_RULES = [
  { apiGroups: [''], resources: ['services', 'nodes'], verbs: ['get', 'list', 'watch'] },
  { apiGroups: [''], resources: ['endpoints'], verbs: ['get', 'list', 'watch'] },
  { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['get', 'list', 'watch'] },
  { apiGroups: [''], resources: ['namespaces'], verbs: ['get', 'list', 'watch'] },
  { apiGroups: ['networking.k8s.io'], resources: ['networkpolicies'], verbs: ['get', 'list', 'watch'] },
  { apiGroups: ['node.k8s.io'], resources: ['runtimeclasses'], verbs: ['get', 'list', 'watch'] },
  { apiGroups: ['storage.k8s.io'], resources: ['csidrivers'], verbs: ['get', 'list', 'watch'] },
  { apiGroups: [''], resources: ['nodes'], verbs: ['create'] },
  { apiGroups: ['', 'events.k8s.io'], resources: ['events'], verbs: ['create', 'patch', 'update'] },
  { apiGroups: ['certificates.k8s.io'], resources: ['certificatesigningrequests'], verbs: ['create', 'get', 'list', 'watch'] },
  { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
  { apiGroups: ['authorization.k8s.io'], resources: ['subjectaccessreviews', 'localsubjectaccessreviews'], verbs: ['create'] },
];

interface Bound {
  uid: string | undefined;
  node: string;
  references: Set<string>;
}

/**
 * Lets a node's agent reach what the pods bound to its node refer to, and write its own objects, and nothing of other nodes'.
 * A compromised node so costs the Secrets of its own pods only.
 */
export class NodeAuthorizer {
  /** Pods that are bound to a node, by `namespace/name`. */
  readonly #pods = new Map<string, Bound>();
  /** How many pods of a node refer to a thing: node → `kind/namespace/name` → count. */
  readonly #references = new Map<string, Map<string, number>>();
  /** The claim a volume is bound to, by the volume's name. */
  readonly #claims = new Map<string, string>();
  /** The label of the node whose directory a volume is, by the volume's name. */
  readonly #directories = new Map<string, string>();

  observe(object: KubeObject, deleted = false): void {
    if (object.kind === 'Pod') this.#observePod(object as Pod, deleted);
    if (object.kind === 'PersistentVolume') {
      const { name, labels } = object.metadata;
      const claim = (object as PersistentVolume).spec.claimRef;
      if (claim && !deleted) this.#claims.set(name, `persistentvolumeclaims/${claim.namespace}/${claim.name}`);
      else this.#claims.delete(name);
      const node = labels?.[LOCAL_PATH_NODE];
      if (node && !deleted) this.#directories.set(name, node);
      else this.#directories.delete(name);
    }
  }

  /** No opinion on who is no node. */
  authorize(attributes: Attributes): Decision {
    const { identity } = attributes;
    if (!isNodeIdentity(identity) || attributes.path !== undefined) return { allowed: false, reason: '' };
    const refusal = this.#refusal(attributes, identity.name.slice(NODE_USER.length));
    return refusal === undefined ? { allowed: true, reason: '' } : { allowed: false, reason: refusal };
  }

  /** Why not, or undefined. */
  #refusal(attributes: Attributes, node: string): string | undefined {
    const { group, resource, subresource, verb, namespace, name } = attributes;
    const thing = `${group}/${resource}${subresource && `/${subresource}`}`;
    switch (thing) {
      case '/secrets':
      case '/configmaps':
        if (!['get', 'list', 'watch'].includes(verb)) return `a node may only read ${resource}`;
        return this.#unlessReferred(node, resource, namespace, name);
      case '/persistentvolumeclaims':
      case 'resource.k8s.io/resourceclaims':
      case '/serviceaccounts':
        if (verb !== 'get') return `a node may only get ${resource}`;
        return this.#unlessReferred(node, resource, namespace, name);
      case '/persistentvolumeclaims/status':
        if (!['get', 'update', 'patch'].includes(verb)) return 'a node may only get, update and patch the status of persistentvolumeclaims';
        return this.#unlessReferred(node, resource, namespace, name);
      case '/persistentvolumes':
        return this.#volumeRefusal(attributes, node);
      case '/serviceaccounts/token':
        if (verb !== 'create') return 'a node may only create tokens';
        return this.#unlessReferred(node, 'serviceaccounts', namespace, name);
      case '/nodes':
      case '/nodes/status':
        if (verb !== 'update' && verb !== 'patch') break;
        return name === node ? undefined : `node '${node}' cannot modify node '${name}'`;
      case '/namespaces':
        if (verb === 'create') return undefined; // the one for its docker containers alone: NodeRestriction sees to it
        break;
      case '/pods':
      case '/pods/status':
      case '/pods/eviction':
        return this.#podRefusal(attributes, node);
      case 'coordination.k8s.io/leases':
        return leaseRefusal(attributes, node);
      case 'storage.k8s.io/csinodes':
        if (!['get', 'create', 'update', 'patch', 'delete'].includes(verb)) return 'a node may not list csinodes';
        return name === node || (verb === 'create' && name === '') ? undefined : `node '${node}' may only access its own CSINode`;
    }
    return NODE_RULES.some(rule => ruleAllows(rule, attributes)) ? undefined : '';
  }

  /** It gets volumes of its pods' claims, and follows those that are its own directories, from which it takes what holds them. */
  #volumeRefusal({ verb, name, labelSelector }: Attributes, node: string): string | undefined {
    const own = localPathNodeLabel(node);
    if ((verb === 'list' || verb === 'watch') && labelSelector === `${LOCAL_PATH_NODE}=${own}`) return undefined;
    const isOwn = this.#directories.get(name) === own;
    if (verb === 'update' && isOwn) return undefined;
    if (verb !== 'get') return 'a node may only get persistentvolumes';
    const claim = this.#claims.get(name);
    return isOwn || (claim && this.#refers(node, claim)) ? undefined : noRelation(node);
  }

  #podRefusal({ verb, subresource, namespace, name, fieldSelector }: Attributes, node: string): string | undefined {
    const own = this.#pods.get(`${namespace}/${name}`)?.node === node;
    if (subresource === 'status') return own && (verb === 'update' || verb === 'patch') ? undefined : notItsPod(node);
    if (subresource === 'eviction') return own && verb === 'create' ? undefined : notItsPod(node);
    if (verb === 'list' || verb === 'watch') {
      if (fieldSelector && isBoundTo(node, fieldSelector)) return undefined;
      return own ? undefined : `node '${node}' may only list and watch pods with the field selector spec.nodeName=${node}`;
    }
    if (verb === 'get' || verb === 'delete') return own ? undefined : notItsPod(node);
    // Mirror pods only: NodeRestriction sees to it.
    if (verb === 'create' && namespace === MIRROR_NAMESPACE) return undefined;
    return 'a node may only get, list, watch and delete pods';
  }

  #unlessReferred(node: string, resource: string, namespace: string, name: string): string | undefined {
    if (!name) return `a node may only read single ${resource} by name`;
    return this.#refers(node, `${resource}/${namespace}/${name}`) ? undefined : noRelation(node);
  }

  #refers(node: string, reference: string): boolean {
    return this.#references.get(node)?.has(reference) ?? false;
  }

  #observePod(pod: Pod, deleted: boolean): void {
    const { namespace, name, uid } = pod.metadata;
    const key = `${namespace}/${name}`;
    const node = pod.spec.nodeName ?? '';
    const known = this.#pods.get(key);
    // What a bound pod refers to never changes, but for its resource claims and ephemeral containers, which are looked at anew.
    const references = node && !deleted ? referencesOf(pod) : new Set<string>();
    if (known && !deleted && known.uid === uid && known.node === node && sameSet(known.references, references)) return;
    if (known) {
      this.#pods.delete(key);
      this.#count(known, -1);
    }
    if (deleted || !node) return;
    const bound = { uid, node, references };
    this.#pods.set(key, bound);
    this.#count(bound, 1);
  }

  #count({ node, references }: Bound, by: 1 | -1): void {
    const counts = this.#references.get(node) ?? new Map<string, number>();
    for (const reference of references) {
      const count = (counts.get(reference) ?? 0) + by;
      if (count > 0) counts.set(reference, count);
      else counts.delete(reference);
    }
    if (counts.size) this.#references.set(node, counts);
    else this.#references.delete(node);
  }
}

/** `system:node:<name>` of group `system:nodes`. */
export function isNodeIdentity({ name, groups }: Identity): boolean {
  return name.startsWith(NODE_USER) && name.length > NODE_USER.length && groups.includes(NODE_GROUP);
}

/** What a pod needs of its namespace to run: `secrets/ns/name`, `configmaps/…`, `persistentvolumeclaims/…`, `serviceaccounts/…`, `resourceclaims/…`. */
export function referencesOf(pod: Pod): Set<string> {
  const { namespace = '', name: podName } = pod.metadata;
  const { spec } = pod;
  const found = new Set<string>();
  const add = (resource: string, name: string | undefined) => {
    if (name) found.add(`${resource}/${namespace}/${name}`);
  };
  add('serviceaccounts', spec.serviceAccountName);
  for (const { name } of spec.imagePullSecrets ?? []) add('secrets', name);
  for (const { env = [], envFrom = [] } of [...(spec.initContainers ?? []), ...spec.containers, ...(spec.ephemeralContainers ?? [])]) {
    for (const { configMapRef, secretRef } of envFrom) {
      add('configmaps', configMapRef?.name);
      add('secrets', secretRef?.name);
    }
    for (const { valueFrom } of env) {
      add('configmaps', valueFrom?.configMapKeyRef?.name);
      add('secrets', valueFrom?.secretKeyRef?.name);
    }
  }
  for (const volume of spec.volumes ?? []) {
    add('secrets', volume.secret?.secretName);
    add('configmaps', volume.configMap?.name);
    add('persistentvolumeclaims', volume.persistentVolumeClaim?.claimName);
    if (volume.ephemeral) add('persistentvolumeclaims', `${podName}-${volume.name}`);
    add('secrets', volume.csi?.nodePublishSecretRef?.name);
    for (const { secret, configMap } of volume.projected?.sources ?? []) {
      add('secrets', secret?.name);
      add('configmaps', configMap?.name);
    }
  }
  for (const { resourceClaimName } of spec.resourceClaims ?? []) add('resourceclaims', resourceClaimName);
  for (const { resourceClaimName } of pod.status?.resourceClaimStatuses ?? []) add('resourceclaims', resourceClaimName);
  return found;
}

function leaseRefusal({ verb, namespace, name }: Attributes, node: string): string | undefined {
  if (!['get', 'create', 'update', 'patch', 'delete'].includes(verb))
    return 'a node may only get, create, update, patch and delete its lease';
  if (namespace !== 'kube-node-lease') return `node '${node}' may only access leases in the "kube-node-lease" namespace`;
  return name === node || (verb === 'create' && name === '') ? undefined : `node '${node}' may only access its own lease`;
}

function isBoundTo(node: string, fieldSelector: string): boolean {
  return parseFieldSelector(fieldSelector).some(
    ({ field, operator, value }) => field === 'spec.nodeName' && operator === '=' && value === node,
  );
}

function noRelation(node: string): string {
  return `no relationship found between node '${node}' and this object`;
}

function notItsPod(node: string): string {
  return `the pod is not bound to node '${node}'`;
}

function sameSet(left: Set<string>, right: Set<string>): boolean {
  return left.size === right.size && left.isSubsetOf(right);
}
