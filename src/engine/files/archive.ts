import { statfsSync } from 'node:fs';
import { posix } from 'node:path';
import { fromText } from '#images/tar-format.ts';
import { TarSink } from '#images/tar-sink.ts';
import { TarTree, type TarTreeOptions } from '#images/tar-tree.ts';
import { lstat } from './path-stat.ts';
import type { SharedPipe } from './shared-pipe.ts';

/** File systems in which the kernel speaks of itself (linux/magic.h): proc, sysfs, cgroup, cgroup2, devpts, mqueue, debugfs, tracefs, securityfs, bpf. */
const KERNELS_OWN = new Set([0x9fa0, 0x62656572, 0x27e0eb, 0x63677270, 0x1cd1, 0x19800202, 0x64626720, 0x74726163, 0x73636673, 0xcafe4a11]);

/** What of the archive only the caller knows. */
export type ArchiveOptions = Pick<TarTreeOptions, 'toOwner'>;

/**
 * Writes one path of the root that this thread is in as an archive, as docker does: a directory's entries below its own name (`/.` gives them below
 * `.`), times in whole seconds, of attributes the capabilities alone.
 */
export function archivePath(path: string, pipe: SharedPipe, options: ArchiveOptions = {}): void {
  const name = fromText(posix.basename(path) || '/');
  lstat(path);
  writeTree(pipe, options, tree => tree.add(fromText(path), name));
}

/** Writes all of the root that this thread is in, without an entry for the root itself. */
export function archiveAll(pipe: SharedPipe, options: ArchiveOptions = {}): void {
  writeTree(pipe, options, tree => tree.add('/', ''));
}

function writeTree(pipe: SharedPipe, options: ArchiveOptions, write: (tree: TarTree) => void): void {
  const sink = new TarSink(pipe.roomSync(), full => {
    pipe.publish(full.length);
    return pipe.roomSync();
  });
  const tree = new TarTree({
    ...options,
    sink,
    keepsXattr: name => name === 'security.capability',
    entersMount: path => !KERNELS_OWN.has(statfsSync(path).type),
    check: () => pipe.check(),
  });
  write(tree);
  tree.end();
  pipe.finishSync();
}
