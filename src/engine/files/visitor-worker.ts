import { serveCalls } from '#base/worker-calls.ts';
import { type ChangesRequest, readChanges } from '#images/layer-changes.ts';
import { type OwnerRanges, ownerInside, ownerOutside } from '#images/owners.ts';
import { insideRoot } from '#linux/confinement.ts';
import { archiveAll, archivePath } from './archive.ts';
import { type ExtractOptions, extract } from './extract.ts';
import { statPath } from './path-stat.ts';
import { enter, type Root } from './root.ts';
import { SharedPipe } from './shared-pipe.ts';

/** Longer than any other end waits: it is broken by the other end. */
const FOREVER_MS = 2 ** 31;

const handlers = {
  stat(root: Root, path: string) {
    using _ = enter(root);
    return statPath(path);
  },
  archive(root: Root, path: string, memory: SharedArrayBuffer, owners?: OwnerRanges) {
    using _ = enter(root);
    archivePath(path, new SharedPipe(memory), owners ? { toOwner: (uid, gid) => ownerInside(owners, uid, gid) } : {});
  },
  archiveAll(directory: string, memory: SharedArrayBuffer, owners?: OwnerRanges) {
    const pipe = new SharedPipe(memory);
    insideRoot(directory, () => archiveAll(pipe, owners ? { toOwner: (uid, gid) => ownerInside(owners, uid, gid) } : {}));
  },
  async extract(root: Root, path: string, memory: SharedArrayBuffer, options: Omit<ExtractOptions, 'toOwner'>, owners?: OwnerRanges) {
    const source = new SharedPipe(memory).read(FOREVER_MS);
    using _ = enter(root);
    await extract(path, source, owners ? { ...options, toOwner: (uid, gid) => ownerOutside(owners, uid, gid) } : options);
  },
  changes(request: ChangesRequest) {
    return readChanges(request);
  },
};

export type VisitorHandlers = typeof handlers;

serveCalls(handlers);
