import type { Container, Sandbox } from '#engine/engine.ts';
import { Pod } from '#kinds/pod.ts';
import { made } from '#kinds/testing.ts';
import type { ContainerSpec } from './parts.ts';
import type { PodPicture } from './plan-pod.ts';

/** For tests: the moment at which pictures are taken. */
export const NOW_MS = Date.parse('2026-11-23T12:00:00Z');

/** For tests: a pod as the API gives it, its containers named as asked. */
export function podOf(spec: Record<string, unknown> = {}, more: { metadata?: object; status?: Pod['status'] } = {}): Pod {
  const metadata = { name: 'p', namespace: 'default', uid: 'uid-1', ...more.metadata };
  const pod = made(Pod, { metadata, spec: { containers: [{ name: 'main', image: 'i' }], ...spec } });
  return { ...pod, metadata: { ...pod.metadata, ...metadata }, ...(more.status ? { status: more.status } : {}) };
}

/** For tests: an init container that stays. */
export function sidecar(name: string, more: Partial<ContainerSpec> = {}): ContainerSpec {
  return { name, image: 'i', restartPolicy: 'Always', ...more };
}

/** For tests: the pod's sandbox, `attempt` counting from 0. */
export function sandboxOf(attempt = 0, state: Sandbox['state'] = 'ready'): Sandbox {
  const metadata = { name: 'p', namespace: 'default', uid: 'uid-1', attempt };
  const address = `10.42.0.${attempt + 2}`;
  return { id: `s${attempt}`, config: { owner: 'node', metadata, network: 'pod' }, state, createdAtMs: NOW_MS - 60_000, address };
}

/** For tests: one instance of a container; by default it began 30 s ago, and if it has ended, ended just now. */
export function instance(name: string, state: Container['state'], more: Partial<Container> & InstanceOptions = {}): Container {
  const { attempt = 0, sandbox = 's0', annotations = {}, ...rest } = more;
  return {
    id: `${name}-${attempt}`,
    owner: 'node',
    config: { sandboxId: sandbox, metadata: { name, attempt }, image: 'i', annotations },
    imageId: 'sha256:i',
    imageRef: 'docker.io/library/i:latest',
    state,
    createdAtMs: NOW_MS - 30_000,
    ...(state === 'created' ? {} : { startedAtMs: NOW_MS - 30_000 }),
    ...(state === 'exited' ? { finishedAtMs: NOW_MS, exitCode: 0 } : {}),
    ...rest,
  };
}

interface InstanceOptions {
  attempt?: number;
  sandbox?: string;
  annotations?: Record<string, string>;
}

/** For tests: a ready sandbox, probes that all are content. */
export function pictureOf(pod: Pod, containers: Container[] = [], more: Partial<PodPicture> = {}): PodPicture {
  return { pod, sandboxes: [sandboxOf()], containers, nowMs: NOW_MS, startupPassed: () => true, livenessFailed: () => false, ...more };
}
