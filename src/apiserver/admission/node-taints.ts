import type { Node } from '#kinds/types.gen.ts';
import type { Stored } from '../resources.ts';
import type { AdmissionPlugin } from '../write.ts';

const NOT_READY = 'node.kubernetes.io/not-ready';

/** A node that registers itself gets no pods before it has been seen ready; whoever else makes one says what holds for it. */
export function taintNewNodes(nodes: Stored): AdmissionPlugin {
  return {
    name: 'TaintNodesByCondition',
    mutate({ operation, served, subresource, object, identity }) {
      if (operation !== 'CREATE' || served.cache !== nodes.cache || subresource || !identity.groups.includes('system:nodes')) return;
      const node = object as Node;
      const taints = node.spec?.taints ?? [];
      if (taints.some(({ key, effect }) => key === NOT_READY && effect === 'NoSchedule')) return;
      node.spec = { ...node.spec, taints: [...taints, { key: NOT_READY, effect: 'NoSchedule' }] };
    },
  };
}
