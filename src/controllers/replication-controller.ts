import { ReplicationController } from '#kinds/replication-controller.ts';
import { replicatingController } from './replica-set.ts';

/** Keeps the number of live pods of a ReplicationController equal to `spec.replicas`: what ReplicaSets do, by a plain selector. */
export const replicationControllerController = replicatingController<ReplicationController>({
  name: 'replication-controller',
  kind: ReplicationController,
  selectorOf: ({ spec: { selector } }) => ({ matchLabels: selector }),
});
