import type { Pod, Toleration } from '#kinds/types.gen.ts';
import type { Stored } from '../resources.ts';
import type { AdmissionPlugin } from '../write.ts';

/** Seconds a pod stays on a node that went away, unless it says otherwise. */
const TOLERATION_SECONDS = 300;
const LOST_NODE_TAINTS = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'];

/** Lets pods stay five minutes on a node that is not ready or out of reach; whoever replaces a pod's tolerations does not lose that. */
export function defaultTolerations(pods: Stored): AdmissionPlugin {
  return {
    name: 'DefaultTolerationSeconds',
    mutate(write) {
      if (write.operation === 'DELETE' || write.subresource || write.served.cache !== pods.cache) return;
      const { spec } = write.object as Pod;
      const missing = LOST_NODE_TAINTS.filter(taint => !spec.tolerations?.some(toleration => tolerates(toleration, taint)));
      if (missing.length === 0) return;
      const added: Toleration[] = missing.map(key => ({
        key,
        operator: 'Exists',
        effect: 'NoExecute',
        tolerationSeconds: TOLERATION_SECONDS,
      }));
      spec.tolerations = [...(spec.tolerations ?? []), ...added];
    },
  };
}

function tolerates({ key, effect }: Toleration, taint: string): boolean {
  return (key === taint || !key) && (effect === 'NoExecute' || !effect);
}
