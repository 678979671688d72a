import { type Finding, findingsOf } from './finding.ts';
import { parseUnixListeners } from './listeners.ts';
import { readText } from './read.ts';

/** Where other engines and kubelets listen. */
const SOCKETS: [name: string, path: RegExp, drivesPods: boolean][] = [
  ['dockerd', /^(\/var)?\/run\/docker\.sock$/, false],
  ['containerd', /^(\/var)?\/run\/containerd\/containerd\.sock$/, false],
  ['CRI-O', /^(\/var)?\/run\/crio\/crio\.sock$/, false],
  ['podman', /^(\/var)?\/run\/podman\/podman\.sock$/, false],
  ['k3s', /^(\/var)?\/run\/k3s\/containerd\/containerd\.sock$/, true],
  ['kubelet', /^\/var\/lib\/kubelet\/.*\/kubelet\.sock$/, true],
];

const { ok, fallsBack } = findingsOf('neighbours');

/** Judges which other engines listen on unix sockets. Pure. */
export function planNeighbours(sockets: readonly string[]): Finding[] {
  const found = SOCKETS.filter(([, path]) => sockets.some(socket => path.test(socket)));
  if (found.length === 0) return [ok('other engines', 'None runs.')];
  return found.map(([name, , drivesPods]) =>
    drivesPods
      ? fallsBack(
          name,
          'It gives pods all of this machine, as umiak does: together they may promise more than there is.',
          `Limit or end ${name} where both are full.`,
        )
      : ok(name, "It runs too; its containers, images and rules are its own, and umiak's are umiak's."),
  );
}

/** Paths of listening unix sockets. */
export function readSockets(): string[] {
  return parseUnixListeners(readText('/proc/net/unix') ?? '');
}
