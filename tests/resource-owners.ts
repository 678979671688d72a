import type { Resources } from './resources.ts';

/** Each resource has one owner, which frees it: the part of the house that a leak is to be looked for in. The first that fits counts. */
const OWNERS: readonly [kinds: readonly (keyof Resources)[], pattern: RegExp, owner: string][] = [
  [['descriptors'], /\/engine\/bundles\/.*winsz/, 'engine/container-runs: watchMonitor'],
  [['descriptors'], /\/engine\/bundles\/.*attach/, 'engine/attach'],
  [['descriptors', 'locks'], /\/engine\/lock$/, 'engine/local-engine'],
  [['descriptors', 'locks', 'files'], /\/(server|agent)\.pid$/, 'main/role'],
  [['descriptors', 'locks', 'files'], /\/server\/store\.db/, 'store/sqlite-store'],
  [['descriptors', 'locks', 'files'], /\/(images|content|layers)(\/|$)/, 'images'],
  [['descriptors', 'files'], /\/pods(\/|$)/, 'node/pod-worker, node/log-rotation'],
  [['files'], /\/logs(\/|$)/, 'main/processes'],
  [['descriptors'], /./, 'whoever opened it'],
  [['locks'], /./, 'linux/lock: its holder'],

  [['namespaces', 'files'], /\/netns(\/|$)/, 'net/network-pool'],
  [['mounts'], /\/engine\/containers\//, 'engine/preparation'],
  [['mounts'], /\/engine\/sandboxes\//, 'engine/sandbox-life'],
  [['mounts', 'files'], /\/cni(\/|$)/, 'net/cni'],
  [['mounts'], /\/engine$/, 'linux/memory-directory'],
  [['mounts', 'files'], /\/docker\/(volumes|parts)(\/|$)/, 'docker/volumes'],
  [['mounts', 'files'], /\/volumes(\/|$)/, 'node/volumes'],
  [['mounts', 'files'], /\/(images|layers)\//, 'images/layer-store'],
  [['cgroups'], /\/[0-9a-f]{64}$/, 'engine/container-runs'],
  [['cgroups'], /\/pod[^/]+$/, 'engine/sandbox-life'],
  [['cgroups'], /./, 'engine/remove-instance'],
  [['processes'], /^\d+ (\/usr\/bin\/)?conmon /, 'engine/conmon'],
  [['processes'], /^\d+ \S*(crun|runc) /, 'engine/runtime'],
  [['processes', 'sockets'], /umiak\.(ts|js) (server|agent)/, 'main/role'],
  [['processes'], /./, 'engine/container-runs'],
  [['links'], /^vb[0-9a-f]{4}-/, 'net/bridges'],
  [['tables'], /-bridges$/, 'net/bridges'],
  [['links'], /0$/, 'net/bridge'],
  [['links'], /./, 'net/network-pool'],
  [['tables', 'rules'], /./, 'net/rule-table'],
  [['kernelChanges'], /./, 'linux/kernel-changes: its holder'],
  [['sockets'], /docker\.sock/, 'docker'],
  [['sockets'], /cri\.sock/, 'cri'],
  [['sockets'], /cni\.sock/, 'net/cni'],
  [['sockets'], /(server|agent)\.sock/, 'main/control-socket'],
  [['sockets'], /\/attach/, 'engine/conmon'],
  [['sockets'], /./, 'whoever listens'],

  [['mounts', 'files'], /\/builder(\/|$)/, 'builder'],
  [['files'], /\/engine\/containers(\/|$)/, 'engine/container-life'],
  [['files'], /\/engine\/sandboxes(\/|$)/, 'engine/sandbox-life'],
  [['files'], /\/engine\/(bundles|exits|crun|runc)(\/|$)/, 'engine/container-runs'],
  [['files'], /\/engine\/programs(\/|$)/, 'engine/runtime'],
  [['files'], /\/engine\/pause(\/|$)/, 'engine/pause'],
  [['files'], /\/engine\/floors(\/|$)/, 'engine/mount-point-layer'],
  [['files'], /\/engine(\/lock)?$/, 'engine/local-engine'],
  [['files'], /\/storage(\/|$)/, 'node/volumes: local paths'],
  [['files'], /\/pki(\/|$)/, 'pki'],
  [['files'], /\/(server|kubeconfig|encryption[^/]*)(\/|$)/, 'main/server'],
  [['files'], /\/\.umiak-doctor-[^/]*(\/|$)/, 'engine/doctor: the next one removes what a killed one left'],
  [['files'], /\/docker\/events(\/|$)/, 'docker/events'],
  [['files', 'namespaces'], /\/docker\/networks(\/|$)/, 'docker/networks'],
  [['files'], /\/docker$/, 'docker'],
  [['files', 'mounts'], /\/builder(\/|$)/, 'builder'],
  [['files'], /\/packages(\/|$)/, 'images/debian-packages'],
  [['files'], /\/examples(\/|$)/, 'examples'],
  [['files'], /\/(manifests|certs\.d|seccomp|cdi)(\/|$)/, 'the administrator'],
  [['files'], /\/(docker|cri|cni|server|agent)\.sock(\.new)?$/, 'who listens on it'],
];

/** Undefined in words: nobody owns it. */
export const NOBODY = 'nobody owns this';

/** The part of the house that frees a resource. Pure. */
export function ownerOf(kind: keyof Resources, name: string): string {
  return OWNERS.find(([kinds, pattern]) => kinds.includes(kind) && pattern.test(name))?.[2] ?? NOBODY;
}
