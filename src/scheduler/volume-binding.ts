import { type Clock, UmiakError } from '#base/index.ts';
import { type Client, controllerOf, type Informer, type Informers, keyText } from '#client/index.ts';
import type { Node } from '#kinds/node.ts';
import { PersistentVolume } from '#kinds/persistent-volume.ts';
import { claimClassOf, PersistentVolumeClaim } from '#kinds/persistent-volume-claim.ts';
import type { Pod } from '#kinds/pod.ts';
import { StorageClass } from '#kinds/storage.ts';
import {
  BOUND_BY_CONTROLLER,
  claimNamesOf,
  isClaimBound,
  isReachableFrom,
  matchVolume,
  NO_PROVISIONER,
  SELECTED_NODE,
  waitsForConsumer,
} from '#kinds/volume-binding.ts';
import { type Check, type Filter, passesNow, type Refusal, rejection } from './plugin.ts';
import { isInPlaceOf, reaches } from './volume-topology.ts';
import type { Candidate, World } from './world.ts';

const FINAL = { isFinal: true };
const OUT_OF_REACH = rejection("node(s) didn't match PersistentVolume's node affinity", FINAL);
const OTHER_ZONE = rejection('node(s) had no available volume zone', FINAL);
const NOTHING_TO_BIND = rejection("node(s) didn't find available persistent volumes to bind", FINAL);
const VOLUME_LOST = rejection('node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)', FINAL);
const IN_USE = rejection('node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode');
/** Claims that aren't bound after this give their pod's node up. */
const BIND_TIMEOUT_MS = 600_000;

export interface VolumeBindingOptions {
  client: Client;
  clock: Clock;
  informers: Informers;
  /** Called when a claim, volume or class changed; with the claim that it is about, if it is about one alone. */
  onChange: (claim?: string) => void;
}

/** Claims of a pod whose node has been decided on. */
export interface Reservation {
  /** Resolves when all are bound. @throws when that can't be */
  bind(): Promise<void>;
  /** Lets go what was set aside, after the pod did not get its node. */
  release(): void;
}

/** What a pod's claims are: bound already, or to be bound where the pod goes. */
interface Claims {
  bound: PersistentVolumeClaim[];
  waiting: { claim: PersistentVolumeClaim; storageClass: StorageClass }[];
}

/**
 * Sends pods where their volumes are, and has claims that wait for their first consumer bound before the pod is. Pods without claims
 * cost one look at their volumes.
 */
export class VolumeBinding implements Filter, AsyncDisposable {
  readonly name = 'VolumeBinding';
  readonly #options: VolumeBindingOptions;
  readonly #claims: Informer<PersistentVolumeClaim>;
  readonly #volumes: Informer<PersistentVolume>;
  readonly #classes: Informer<StorageClass>;
  /** Free volumes that a decision has been made about, with the claim that gets them. */
  readonly #setAside = new Map<string, string>();
  readonly #subscriptions = new DisposableStack();
  readonly #ended = new AbortController();
  readonly helps: Filter['helps'] = {
    volumes: ({ claim }, { pod }) =>
      claim === undefined || claimNamesOf(pod).some(name => keyText({ namespace: pod.metadata.namespace, name }) === claim),
    node: passesNow(() => this),
    'pod-gone': ({ placed }, { pod }) => {
      const names = claimNamesOf(pod);
      return placed.pod.metadata.namespace === pod.metadata.namespace && claimNamesOf(placed.pod).some(name => names.includes(name));
    },
  };

  constructor(options: VolumeBindingOptions) {
    this.#options = options;
    this.#claims = options.informers.of(PersistentVolumeClaim);
    this.#volumes = options.informers.of(PersistentVolume);
    this.#classes = options.informers.of(StorageClass);
  }

  async start(): Promise<void> {
    const { onChange } = this.#options;
    await Promise.all([this.#claims.start(), this.#volumes.start(), this.#classes.start()]);
    this.#subscriptions.use(this.#claims.subscribe(({ key }) => onChange(key)));
    this.#subscriptions.use(
      this.#volumes.subscribe(({ object }) => {
        const { namespace, name } = object?.spec.claimRef ?? {};
        onChange(name ? keyText({ namespace, name }) : undefined);
      }),
    );
    this.#subscriptions.use(this.#classes.subscribe(() => onChange()));
  }

  prepare({ pod }: Candidate, world: World): Check | Refusal | undefined {
    const names = claimNamesOf(pod);
    if (names.length === 0) return undefined;
    const claims = this.#read(pod, names);
    if ('refuses' in claims) return claims;
    const exclusive = [...claims.bound, ...claims.waiting.map(({ claim }) => claim)].filter(({ spec }) =>
      spec.accessModes?.includes('ReadWriteOncePod'),
    );
    const users = exclusive.length > 0 ? usersOf(exclusive, world) : undefined;
    return { reject: (row, node) => (users?.[row] ? IN_USE : this.#reject(claims, node)) };
  }

  #read(pod: Pod, names: readonly string[]): Claims | Refusal {
    const claims: Claims = { bound: [], waiting: [] };
    const { namespace } = pod.metadata;
    for (const name of names) {
      const claim = this.#claims.get({ namespace, name });
      const quoted = JSON.stringify(name);
      const isEphemeral = !pod.spec.volumes?.some(({ persistentVolumeClaim }) => persistentVolumeClaim?.claimName === name);
      if (!claim) {
        const waits = `waiting for ephemeral volume controller to create the persistentvolumeclaim ${quoted}`;
        return { refuses: isEphemeral ? waits : `persistentvolumeclaim ${quoted} not found` };
      }
      if (claim.status?.phase === 'Lost')
        return {
          refuses: `persistentvolumeclaim ${quoted} bound to non-existent persistentvolume ${JSON.stringify(claim.spec.volumeName ?? '')}`,
        };
      if (claim.metadata.deletionTimestamp) return { refuses: `persistentvolumeclaim ${quoted} is being deleted` };
      if (isEphemeral && controllerOf(claim)?.uid !== pod.metadata.uid)
        return { refuses: `PVC ${namespace}/${name} was not created for pod ${namespace}/${pod.metadata.name} (pod is not owner)` };
      const storageClass = this.#classes.get(claimClassOf(claim));
      if (isClaimBound(claim)) claims.bound.push(claim);
      else if (!claim.spec.volumeName && storageClass && waitsForConsumer(storageClass)) claims.waiting.push({ claim, storageClass });
      else return { refuses: 'pod has unbound immediate PersistentVolumeClaims' };
    }
    return claims;
  }

  #reject({ bound, waiting }: Claims, node: Node) {
    for (const { spec } of bound) {
      const volume = this.#volumes.get(spec.volumeName ?? '');
      if (!volume) return VOLUME_LOST;
      if (!isReachableFrom(node, volume)) return OUT_OF_REACH;
      if (!isInPlaceOf(node, volume)) return OTHER_ZONE;
    }
    for (const { claim, storageClass } of waiting) {
      const chosen = claim.metadata.annotations?.[SELECTED_NODE];
      if (chosen !== undefined && chosen !== node.metadata.name) return NOTHING_TO_BIND;
      if (this.#find(claim, node)) continue;
      if (storageClass.provisioner === NO_PROVISIONER || !reaches(storageClass.allowedTopologies, node)) return NOTHING_TO_BIND;
    }
    return undefined;
  }

  /** A volume that is there already; what another claim is about to get is not. */
  #find(claim: PersistentVolumeClaim, node: Node): PersistentVolume | undefined {
    const key = keyText(claim.metadata);
    const free = this.#volumes.list().filter(({ metadata }) => (this.#setAside.get(metadata.name) ?? key) === key);
    return matchVolume(claim, free, { node });
  }

  /** Sets aside what the pod's claims get on `node`; undefined when there is nothing left to bind. */
  reserve({ pod }: Candidate, node: Node): Reservation | undefined {
    const names = claimNamesOf(pod);
    const claims = names.length > 0 ? this.#read(pod, names) : undefined;
    if (!claims || 'refuses' in claims || claims.waiting.length === 0) return undefined;
    const chosen = claims.waiting.map(({ claim }) => {
      const volume = this.#find(claim, node);
      if (volume) this.#setAside.set(volume.metadata.name, keyText(claim.metadata));
      return { claim, volume };
    });
    const release = () => {
      for (const { volume } of chosen) if (volume) this.#setAside.delete(volume.metadata.name);
    };
    const bind = async () => {
      await Promise.all(
        chosen.map(({ claim, volume }) => (volume ? this.#giveVolume(volume, claim) : this.#tellNode(claim, node.metadata.name))),
      );
      await this.#untilBound(chosen.map(({ claim }) => claim));
      release();
    };
    return { bind, release };
  }

  async #giveVolume({ metadata, spec }: PersistentVolume, { metadata: { name, namespace, uid, resourceVersion } }: PersistentVolumeClaim) {
    if (spec.claimRef?.uid === uid) return;
    const claimRef = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', name, namespace, uid, resourceVersion };
    const annotations = spec.claimRef ? {} : { [BOUND_BY_CONTROLLER]: 'yes' };
    const patch = { metadata: { resourceVersion: metadata.resourceVersion, annotations }, spec: { claimRef } };
    await this.#options.client.patch(PersistentVolume, { name: metadata.name }, patch, { type: 'merge' });
  }

  async #tellNode({ metadata }: PersistentVolumeClaim, node: string): Promise<void> {
    if (metadata.annotations?.[SELECTED_NODE] === node) return;
    const patch = { metadata: { uid: metadata.uid, annotations: { [SELECTED_NODE]: node } } };
    await this.#options.client.patch(PersistentVolumeClaim, metadata, patch, { type: 'merge' });
  }

  /** Whoever provisions takes the node away from a claim that can't be served there: then the pod looks for another. */
  async #untilBound(claims: readonly PersistentVolumeClaim[]): Promise<void> {
    const told = new Set<string>();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const look = () => {
      const present = claims.map(({ metadata }) => this.#claims.get(keyText(metadata)));
      if (this.#ended.signal.aborted) reject(new UmiakError('ServiceUnavailable', 'the scheduler ends'));
      if (present.some((claim, index) => claim?.metadata.uid !== claims[index]?.metadata.uid))
        reject(new UmiakError('Conflict', 'a claim of the pod is gone'));
      else if (present.every(claim => claim && isClaimBound(claim))) resolve();
      for (const claim of present) {
        if (!claim) continue;
        if (claim.metadata.annotations?.[SELECTED_NODE]) told.add(claim.metadata.uid);
        else if (told.has(claim.metadata.uid) && !isClaimBound(claim))
          reject(new UmiakError('Conflict', `the claim ${claim.metadata.name} can't be provisioned for the selected node`));
      }
    };
    using _watch = this.#claims.subscribe(look);
    using _late = this.#options.clock.after(BIND_TIMEOUT_MS, () => reject(new UmiakError('Timeout', 'the claims were not bound in time')));
    this.#ended.signal.addEventListener('abort', look, { once: true });
    look();
    await promise;
  }

  /** Nobody waits for claims any longer. */
  close(): void {
    this.#ended.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    this.#subscriptions.dispose();
  }
}

/** The rows where pods use one of the claims. */
function usersOf(claims: readonly PersistentVolumeClaim[], { podsByRow }: World): boolean[] {
  return podsByRow.map(pods => {
    for (const { pod } of pods?.values() ?? [])
      for (const name of claimNamesOf(pod))
        if (claims.some(({ metadata }) => metadata.name === name && metadata.namespace === pod.metadata.namespace)) return true;
    return false;
  });
}
