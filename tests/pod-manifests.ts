import type { Pod } from '#kinds/pod.ts';

/** Pods of busybox for tests that run them for real. */

export type PodSpec = Partial<Pod['spec']>;
export type Container = Pod['spec']['containers'][number];

/** Runs until it is asked to end. */
export const FOREVER = 'trap "exit 0" TERM; sleep 100000 & wait';

/** A container of busybox that runs a script. */
export const shell = (script: string, more: Partial<Container> = {}): Container => ({
  name: 'main',
  image: 'busybox:test',
  imagePullPolicy: 'IfNotPresent',
  command: ['sh', '-c', script],
  ...more,
});

/** A pod that is not restarted and ends soon; a label `app` bears its name. */
export const pod = (name: string, containers: Container[], spec: PodSpec = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, labels: { app: name } },
  spec: { terminationGracePeriodSeconds: 1, restartPolicy: 'Never', containers, ...spec },
});
