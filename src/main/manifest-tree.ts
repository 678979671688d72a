import { type FSWatcher, watch } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type Clock, type Log, messageOf } from '#base/index.ts';

export interface ManifestTreeOptions {
  /** The folder; it may be absent. */
  root: string;
  /** Told the path (relative to the root) of each file that came or changed, once nothing has happened for a moment. */
  onChange: (path: string) => void;
  clock: Clock;
  log: Log;
}

/** Nothing is read before so long has passed without a change. */
const QUIET_MS = 150;
/** What is more than this is no folder of manifests. */
const MOST_FILES = 1_000;
const MOST_DEPTH = 8;

/** Tells of manifests in a folder and its subfolders as they come and change: by inotify, so an absent or still folder costs nothing. */
export class ManifestTree implements AsyncDisposable {
  readonly #options: ManifestTreeOptions;
  readonly #watchers = new Map<string, { identity: string; watcher: FSWatcher }>();
  #known = new Map<string, string>();
  #timer: Disposable | undefined;
  #scanning: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: ManifestTreeOptions) {
    this.#options = options;
  }

  /** Tells of all that is there. */
  async start(): Promise<void> {
    const { root } = this.#options;
    await this.#watch(dirname(root), name => name === basename(root));
    await this.#rescan();
  }

  /** Whether a file was there at the last look. */
  has(path: string): boolean {
    return this.#known.has(path);
  }

  /** Files that are there: relative path and what tells a changed one. */
  async #scan(directory: string, found: Map<string, string>, depth = 0): Promise<void> {
    const path = join(this.#options.root, directory);
    await this.#watch(path);
    const entries = await readdir(path).catch(() => []);
    const skipped = new Set(entries.filter(name => name.endsWith('.skip')));
    for (const name of entries.sort()) {
      const relative = join(directory, name);
      if (name.startsWith('.') || skipped.has(`${name}.skip`)) continue;
      const about = await stat(join(path, name)).catch(() => undefined);
      if (about?.isDirectory() && depth < MOST_DEPTH) await this.#scan(relative, found, depth + 1);
      if (!about?.isFile() || !/\.(?:ya?ml|json)$/.test(name)) continue;
      if (found.size < MOST_FILES) found.set(relative, `${about.ino} ${about.size} ${about.mtimeMs} ${about.ctimeMs}`);
      else this.#options.log.error('too many manifests: this one is not applied', { file: relative, most: MOST_FILES });
    }
  }

  async #rescan(): Promise<void> {
    const found = new Map<string, string>();
    await this.#scan('', found);
    if (this.#isClosed) return;
    for (const [path, { watcher }] of this.#watchers) {
      if (path === dirname(this.#options.root) || (await stat(path).catch(() => undefined))?.isDirectory()) continue;
      watcher.close();
      this.#watchers.delete(path);
    }
    const known = this.#known;
    this.#known = found;
    for (const [path, signature] of found) if (known.get(path) !== signature) this.#options.onChange(path);
  }

  /** Watches a directory, again if another one has its name now. */
  async #watch(path: string, isMeant: (name: string | null) => boolean = () => true): Promise<void> {
    const about = await stat(path).catch(() => undefined);
    if (!about?.isDirectory() || this.#isClosed) return;
    const identity = `${about.dev} ${about.ino} ${about.birthtimeMs}`;
    const present = this.#watchers.get(path);
    if (present?.identity === identity) return;
    present?.watcher.close();
    try {
      const watcher = watch(path, { persistent: false }, (_event, name) => isMeant(name) && this.#stir());
      watcher.on('error', () => this.#stir());
      this.#watchers.set(path, { identity, watcher });
    } catch (error) {
      this.#options.log.error('a folder of manifests can not be watched: its changes are seen at the next start', {
        path,
        error: messageOf(error),
      });
    }
  }

  #stir(): void {
    this.#timer?.[Symbol.dispose]();
    if (this.#isClosed) return;
    this.#timer = this.#options.clock.after(QUIET_MS, () => {
      this.#scanning = (this.#scanning ?? Promise.resolve()).then(() => this.#rescan());
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#timer?.[Symbol.dispose]();
    await this.#scanning;
    for (const { watcher } of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }
}
