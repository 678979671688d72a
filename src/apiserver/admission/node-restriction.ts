import type { KubeObject } from '#kinds/kind.ts';
import type { Pod } from '#kinds/types.gen.ts';
import type { Stored } from '../resources.ts';
import { forbidden } from '../status.ts';
import type { AdmissionPlugin, Write } from '../write.ts';

const PREFIX = 'system:node:';

/** A node's agent changes its own Node and its own pods, and nobody else's. */
export function nodeRestriction(pods: Stored, nodes: Stored): AdmissionPlugin {
  return {
    name: 'NodeRestriction',
    validate(write) {
      const node = nodeOf(write);
      if (node === undefined) return;
      if (write.served.cache === nodes.cache && write.name !== node)
        throw forbidden(nodes.resource, write.name, `node "${node}" is not allowed to modify node "${write.name}"`);
      if (write.served.cache === pods.cache) checkPod(write, node, pods);
      const { resource } = write.served;
      if (resource.plural === 'leases' && write.namespace === 'kube-node-lease' && write.name !== node) {
        throw forbidden(resource, write.name, `can only access node lease with the same name as the requesting node`);
      }
    },
  };
}

function nodeOf({ identity }: Write): string | undefined {
  return identity.groups.includes('system:nodes') && identity.name.startsWith(PREFIX) ? identity.name.slice(PREFIX.length) : undefined;
}

function checkPod(write: Write, node: string, pods: Stored): void {
  const nodeName = ((write.old ?? write.object) as Pod).spec.nodeName;
  if (nodeName !== node)
    throw forbidden(
      pods.resource,
      write.name,
      `node "${node}" can only ${write.operation.toLowerCase()} pods with spec.nodeName set to itself`,
    );
  if (write.operation === 'CREATE' && !isMirror(write.object))
    throw forbidden(
      pods.resource,
      write.name,
      `pod does not have "kubernetes.io/config.mirror" annotation, node "${node}" can only create mirror pods`,
    );
}

function isMirror({ metadata }: KubeObject): boolean {
  return metadata.annotations?.['kubernetes.io/config.mirror'] !== undefined;
}
