import { execFile } from 'node:child_process';
import { lookup } from 'node:dns/promises';
import { messageOf, UmiakError } from '#base/errors.ts';
import { requireAnswering } from '#linux/answering.ts';
import { MS_REMOUNT, mount, mountInThread } from '#linux/mount.ts';
import { mountsBelow } from '#linux/mount-table.ts';
import { unmountAlone } from '#linux/unmount-below.ts';
import { parseLocalOptions, planLocalMount } from './local-options.ts';
import type { VolumeStore } from './volume-store.ts';

/** A server that does not answer is given up. */
const PATIENCE_MS = 30_000;
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

/** File systems that volumes' options ask for, over their `_data`: there from the first user to the last. Who uses them the caller knows. */
export class VolumeFileSystems {
  readonly #store: VolumeStore;
  readonly #command: string;
  readonly #patienceMs: number;
  readonly #mounted = new Set<string>();

  /** `command` and `patienceMs` are for tests of servers that don't answer. */
  constructor({ store, command = 'mount', patienceMs = PATIENCE_MS }: { store: VolumeStore; command?: string; patienceMs?: number }) {
    this.#store = store;
    this.#command = command;
    this.#patienceMs = patienceMs;
  }

  /** At a start: those that an earlier process mounted and nobody uses any more are unmounted. */
  async adopt(isUsed: (name: string) => boolean): Promise<void> {
    for (const { name, options } of this.#store.list()) {
      if (!parseLocalOptions(options) || mountsBelow(this.#store.dataOf(name)).length === 0) continue;
      this.#mounted.add(name);
      if (!isUsed(name)) await this.unmount(name);
    }
  }

  isMounted(name: string): boolean {
    return this.#mounted.has(name);
  }

  /** Nothing where the options ask for none, or it is mounted. @throws InternalError in docker's words, Timeout */
  async mount(name: string): Promise<void> {
    if (this.#mounted.has(name)) return await requireAnswering([this.#store.dataOf(name)]);
    const asked = parseLocalOptions(this.#store.get(name)?.options ?? {});
    if (!asked) return;
    const target = this.#store.dataOf(name);
    const refuse = (cause: unknown) =>
      new UmiakError('InternalError', `error while mounting volume '${target}': failed to mount local volume: ${messageOf(cause)}`, {
        cause,
      });
    const plan = planLocalMount(asked);
    if (plan.by === 'call') {
      try {
        if (plan.type === null) bind(plan.device, target, plan.flags);
        else await mountInThread(plan.device, target, plan.type, plan.flags, plan.data);
      } catch (error) {
        throw refuse(error);
      }
    } else {
      const { type, device, addressOf } = plan;
      const options =
        addressOf === undefined ? plan.options : await withAddress(plan.options, addressOf).catch(error => Promise.reject(refuse(error)));
      await this.#mountByProcess({ type, device, options, target }).catch(error => Promise.reject(refuse(error)));
    }
    this.#mounted.add(name);
    await requireAnswering([target]);
  }

  async unmount(name: string): Promise<void> {
    if (!this.#mounted.has(name)) return;
    await unmountAlone(this.#store.dataOf(name));
    this.#mounted.delete(name);
  }

  /** By `mount -i`, which calls no helper: the system call holds that process, not us. */
  #mountByProcess({ type, device, options, target }: { type: string; device: string; options: string; target: string }): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const args = ['-i', '-n', '-t', type, ...(options === '' ? [] : ['-o', options]), '--', device, target];
    const child = execFile(this.#command, args, { env: { LC_ALL: 'C', PATH }, maxBuffer: 1 << 16 }, (error, _, stderr) => {
      const said = stderr
        .trim()
        .replace(/^mount: /, '')
        .slice(0, 1000);
      if (error) reject(new Error(said || error.message));
      else resolve();
    });
    // One that even SIGKILL doesn't end is left behind: it ends with what it waits for.
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      child.unref();
      reject(new UmiakError('Timeout', `mounting ${device}: its server does not answer`));
    }, this.#patienceMs);
    return promise.finally(() => clearTimeout(timer));
  }
}

/** The kernel takes a bind's other flags only from a second call. */
function bind(device: string, target: string, flags: number): void {
  mount(device, target, null, flags);
  const others = flags & 0xf;
  if (others !== 0) mount('none', target, null, flags | MS_REMOUNT);
}

/** The kernel takes numbers only. */
async function withAddress(options: string, name: string): Promise<string> {
  const { address } = await lookup(name);
  return options
    .split(',')
    .map(option => (option === `addr=${name}` ? `addr=${address}` : option))
    .join();
}
