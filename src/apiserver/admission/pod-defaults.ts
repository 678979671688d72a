import type { Pod, PriorityClass, Toleration } from '#kinds/types.gen.ts';
import type { Stored } from '../resources.ts';
import { forbidden } from '../status.ts';
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

/** Turns a pod's priority class into its number. */
export function podPriority(pods: Stored, classes: Stored): AdmissionPlugin {
  const find = (name: string | undefined): PriorityClass | undefined => {
    if (name) return classes.cache.get(name)?.object<PriorityClass>();
    let best: PriorityClass | undefined;
    for (const stored of classes.cache.now.range('', '\uffff')) {
      const each = stored.object<PriorityClass>();
      if (each.globalDefault && (!best || (each.value ?? 0) < (best.value ?? 0))) best = each;
    }
    return best;
  };
  return {
    name: 'Priority',
    mutate(write) {
      if (write.operation !== 'CREATE' || write.served.cache !== pods.cache) return;
      const { spec } = write.object as Pod;
      const found = find(spec.priorityClassName);
      if (spec.priorityClassName && !found)
        throw forbidden(pods.resource, write.name, `no PriorityClass with name ${spec.priorityClassName} was found`);
      const priority = found?.value ?? 0;
      if (spec.priority !== undefined && spec.priority !== priority) {
        throw forbidden(
          pods.resource,
          write.name,
          `the integer value of priority (${spec.priority}) must not be provided in pod spec; priority admission controller computed ${priority} from the given PriorityClass name`,
        );
      }
      spec.priority = priority;
      if (found && !spec.priorityClassName) spec.priorityClassName = found.metadata.name;
      spec.preemptionPolicy ??= found?.preemptionPolicy ?? 'PreemptLowerPriority';
    },
  };
}
