import { jsonEqual } from '#kinds/json-equal.ts';
import type { KubeObject } from '#kinds/kind.ts';
import { LOCAL_PATH_FINALIZER } from '#kinds/local-path.ts';
import { MIRROR_NAMESPACE } from '#kinds/mirror-pod.ts';
import type { Node, Pod } from '#kinds/types.gen.ts';
import type { Stored } from '../resources.ts';
import { forbidden } from '../status.ts';
import type { AdmissionPlugin, Write } from '../write.ts';

const PREFIX = 'system:node:';
const NODE_LABELS = new Set([
  'kubernetes.io/hostname',
  'kubernetes.io/os',
  'kubernetes.io/arch',
  'beta.kubernetes.io/os',
  'beta.kubernetes.io/arch',
  'beta.kubernetes.io/instance-type',
  'topology.kubernetes.io/region',
  'topology.kubernetes.io/zone',
  'failure-domain.beta.kubernetes.io/region',
  'failure-domain.beta.kubernetes.io/zone',
]);

/** A node's agent changes its own Node and its own pods, and nobody else's. */
export function nodeRestriction(pods: Stored, nodes: Stored): AdmissionPlugin {
  return {
    name: 'NodeRestriction',
    validate(write) {
      const node = nodeOf(write);
      if (node === undefined) return;
      if (write.served.cache === nodes.cache) checkNode(write, node, nodes);
      if (write.served.cache === pods.cache) checkPod(write, node, pods);
      const { resource } = write.served;
      if (resource.plural === 'namespaces' && resource.group === '' && write.name !== MIRROR_NAMESPACE)
        throw forbidden(resource, write.name, `node "${node}" can only create the namespace "${MIRROR_NAMESPACE}"`);
      if (resource.plural === 'persistentvolumes') checkVolume(write, node);
      if (resource.plural === 'csinodes' && write.name !== node)
        throw forbidden(resource, write.name, 'can only access CSINode with the same name as the requesting node');
      if (resource.plural === 'leases' && write.namespace === 'kube-node-lease' && write.name !== node) {
        throw forbidden(resource, write.name, `can only access node lease with the same name as the requesting node`);
      }
    },
  };
}

function nodeOf({ identity }: Write): string | undefined {
  return identity.groups.includes('system:nodes') && identity.name.startsWith(PREFIX) ? identity.name.slice(PREFIX.length) : undefined;
}

function checkNode({ name, operation, subresource, object, old }: Write, node: string, nodes: Stored): void {
  const refuse = (why: string) => forbidden(nodes.resource, name, `node "${node}" is not allowed to ${why}`);
  if (name !== node) throw refuse(`modify node "${name}"`);
  if (operation === 'DELETE') return;
  const labels = changedLabels(object.metadata.labels, old?.metadata.labels).filter(label => !mayLabel(label));
  if (labels.length > 0) throw refuse(`${old ? 'modify labels' : 'set the following labels'}: ${labels.sort().join(', ')}`);
  if (old && !subresource && !jsonEqual((object as Node).spec?.taints ?? [], (old as Node).spec?.taints ?? []))
    throw refuse('modify taints');
}

/** All that a node does to a volume is to let it go once its directory is gone. */
function checkVolume({ served, operation, name, object, old }: Write, node: string): void {
  const wanted = old && { ...old.metadata, finalizers: old.metadata.finalizers?.filter(one => one !== LOCAL_PATH_FINALIZER) };
  const isRelease =
    operation === 'UPDATE' &&
    wanted?.deletionTimestamp !== undefined &&
    jsonEqual({ ...object, metadata: withoutTraces(object) }, { ...old, metadata: withoutTraces({ ...object, metadata: wanted }) });
  if (!isRelease)
    throw forbidden(served.resource, name, `node "${node}" can only remove the finalizer "${LOCAL_PATH_FINALIZER}" of volumes`);
}

/** What every write changes is no change. */
function withoutTraces({ metadata }: KubeObject): object {
  const { managedFields: _, resourceVersion: __, generation: ___, finalizers = [], ...rest } = metadata;
  return { ...rest, finalizers };
}

function changedLabels(now: Record<string, string> = {}, before: Record<string, string> = {}): string[] {
  return [...new Set([...Object.keys(now), ...Object.keys(before)])].filter(key => now[key] !== before[key]);
}

/** Of Kubernetes' own labels a node sets those that say what it is; `node-restriction.kubernetes.io/` is kept from it. */
function mayLabel(label: string): boolean {
  const prefix = label.includes('/') ? label.slice(0, label.indexOf('/')) : '';
  const within = (domain: string) => prefix === domain || prefix.endsWith(`.${domain}`);
  if (within('node-restriction.kubernetes.io')) return false;
  if (!within('kubernetes.io') && !within('k8s.io')) return true;
  return NODE_LABELS.has(label) || within('kubelet.kubernetes.io') || within('node.kubernetes.io');
}

function checkPod(write: Write, node: string, pods: Stored): void {
  const nodeName = ((write.old ?? write.object) as Pod).spec.nodeName;
  if (nodeName !== node)
    throw forbidden(
      pods.resource,
      write.name,
      `node "${node}" can only ${write.operation.toLowerCase()} pods with spec.nodeName set to itself`,
    );
  const refuse = (why: string) => forbidden(pods.resource, write.name, why);
  if (write.operation === 'CREATE') {
    if (!isMirror(write.object))
      throw refuse(`pod does not have "kubernetes.io/config.mirror" annotation, node "${node}" can only create mirror pods`);
    const reference = referenceOf(write.object as Pod);
    if (reference) throw refuse(`node "${node}" can not create pods that reference ${reference}`);
  }
  if (write.subresource === 'status' && changedLabels(write.object.metadata.labels, write.old?.metadata.labels).length > 0)
    throw refuse(`node "${node}" cannot update labels through pod status`);
}

/** What of the API a mirror pod names although it may not. */
function referenceOf({ spec }: Pod): string | undefined {
  if (spec.serviceAccountName) return 'a service account';
  const containers = [...spec.containers, ...(spec.initContainers ?? [])];
  const env = containers.flatMap(each => each.env ?? []).map(({ valueFrom }) => valueFrom);
  const envFrom = containers.flatMap(each => each.envFrom ?? []);
  const volumes = spec.volumes ?? [];
  if (volumes.some(each => each.secret || each.projected?.sources?.some(({ secret }) => secret))) return 'secrets';
  if (env.some(from => from?.secretKeyRef) || envFrom.some(from => from.secretRef) || spec.imagePullSecrets?.length) return 'secrets';
  if (volumes.some(each => each.configMap || each.projected?.sources?.some(({ configMap }) => configMap))) return 'configmaps';
  if (env.some(from => from?.configMapKeyRef) || envFrom.some(from => from.configMapRef)) return 'configmaps';
  return volumes.some(each => each.persistentVolumeClaim || each.ephemeral) ? 'persistentvolumeclaims' : undefined;
}

function isMirror({ metadata }: KubeObject): boolean {
  return metadata.annotations?.['kubernetes.io/config.mirror'] !== undefined;
}
