import { readdirSync } from 'node:fs';
import { type Clock, systemClock } from '#base/clock.ts';
import { isUmiakError, messageOf, UmiakError } from '#base/errors.ts';
import type { Log } from '#base/log.ts';
import { isPinned } from '#linux/namespaces.ts';
import { identify, readEnvironment, signalProcess, waitForEnd } from '#linux/process.ts';
import { AttachmentCache, type CachedAttachment, readForeignAttachments } from './attachment-cache.ts';
import { type FoundNetwork, findNetwork } from './network-config.ts';
import { type CniSandbox, checkCapabilities, planAttachment } from './plan-attachment.ts';
import { PluginChain } from './plugin-chain.ts';
import { addressesOf } from './result.ts';

export interface CniNetworksOptions {
  /** Where the machine's network is configured: `/etc/cni/net.d`. */
  confDir: string;
  /** Where plugins are, the first one first: `/opt/cni/bin`, `/usr/lib/cni`. */
  binDirs: readonly string[];
  /** Where attachments are remembered; must outlive a reboot, as what plugins keep does. */
  cacheDir: string;
  /** Where other runtimes of the machine remember theirs, which may be of the same network; default libcni's. */
  foreignCacheDir?: string;
  /** For each call of a plugin. */
  timeoutMs?: number;
  clock?: Clock;
  log: Log;
}

/** Whether sandboxes can get a network, in the words of CRI's condition `NetworkReady`. */
export interface CniStatus {
  isReady: boolean;
  reason: string;
  message: string;
}

const TIMEOUT_MS = 60_000;
const FOREIGN_CACHE_DIR = '/var/lib/cni/results';
/** A start waits no longer for a plugin that hangs. */
const ADOPTION_TIMEOUT_MS = 10_000;
const DEATH_TIMEOUT_MS = 10_000;
/** More are a plugin that forks without end. */
const KILL_ROUNDS = 100;
/** Kubelets ask every few seconds, and each question is a process a plugin. */
const READINESS_HOLDS_MS = 15_000;
const SIGKILL = 9;

/**
 * Sandboxes' places in the machine's CNI network. What must hold: an attachment's file is on disk whenever a plugin may hold something for it, from
 * before the first ADD until after the last DEL, with the configuration it was made by. So whatever is killed whenever, `adopt` undoes what nobody
 * acknowledged. The configuration is read when it is needed: it is never an old one, and nothing watches or polls.
 */
export class CniNetworks {
  readonly #options: CniNetworksOptions;
  readonly #cache: AttachmentCache;
  readonly #chain: PluginChain;
  readonly #attached = new Map<string, CachedAttachment>();
  /** Of sandboxes that are gone, whose plugins refused to let go. */
  #left: CachedAttachment[] = [];
  #triedWith = '';
  /** Until when plugins that said they are ready are believed. */
  #readyUntilMs = 0;

  constructor(options: CniNetworksOptions) {
    this.#options = options;
    this.#cache = new AttachmentCache(options.cacheDir);
    this.#chain = new PluginChain({ binDirs: options.binDirs, timeoutMs: options.timeoutMs ?? TIMEOUT_MS });
  }

  /** Sandboxes attached now. */
  get attached(): readonly string[] {
    return [...this.#attached.keys()];
  }

  /** Call once, before anything else: these sandboxes live; whatever else a former process attached is detached. Their namespaces may be gone. */
  async adopt(sandboxIds: readonly string[]): Promise<void> {
    const living = new Set(sandboxIds);
    const cached = this.#cache.read();
    for (const each of cached) if (living.has(each.attachment.containerId)) this.#attached.set(each.attachment.containerId, each);
    this.#left = cached.filter(({ attachment }) => !living.has(attachment.containerId));
    if (this.#left.length > 0) {
      await killPluginsOf(new Set(this.#left.map(({ attachment }) => attachment.containerId)));
      await this.#detachLeft(Math.min(ADOPTION_TIMEOUT_MS, this.#options.timeoutMs ?? TIMEOUT_MS));
    }
    if (cached.length > 0) await this.#collectGarbage();
  }

  /** Attaches a sandbox. When a plugin fails, those before it are undone. @throws UmiakError saying which and why */
  async attach(sandbox: CniSandbox): Promise<{ addresses: string[] }> {
    const { list } = await this.#network();
    const attachment = planAttachment(sandbox);
    checkCapabilities(list, attachment);
    const cached: CachedAttachment = { list, attachment };
    await this.#cache.write(cached);
    try {
      cached.result = await this.#chain.add(list, attachment);
      await this.#cache.write(cached);
    } catch (error) {
      this.#readyUntilMs = 0;
      this.#left.push(cached);
      await this.#detachLeft();
      throw error;
    }
    this.#attached.set(sandbox.id, cached);
    return { addresses: addressesOf(cached.result) };
  }

  /** Detaches a sandbox by the configuration it was attached by. Twice is as good as once. @throws UmiakError; then it is still attached */
  async detach(sandboxId: string): Promise<void> {
    const cached = this.#attached.get(sandboxId);
    if (!cached) return;
    await this.#detach(cached);
    this.#attached.delete(sandboxId);
  }

  /** Asks the plugins whether what they did still stands. @throws UmiakError when it doesn't */
  async check(sandboxId: string): Promise<void> {
    const cached = this.#attached.get(sandboxId);
    if (!cached) throw new UmiakError('NotFound', `sandbox ${sandboxId} has no CNI network`);
    await this.#chain.check(cached.list, cached.attachment, cached.result);
  }

  /** Whether a sandbox could be attached now, asking the plugins where their version can say, unless they have just said yes. */
  async status(): Promise<CniStatus> {
    const { clock = systemClock } = this.#options;
    try {
      const { list } = await this.#network();
      if (clock.monotonic() >= this.#readyUntilMs) {
        await this.#chain.status(list);
        this.#readyUntilMs = clock.monotonic() + READINESS_HOLDS_MS;
      }
      return { isReady: true, reason: '', message: '' };
    } catch (error) {
      return { isReady: false, reason: 'NetworkPluginNotReady', message: messageOf(error) };
    }
  }

  /** The network that counts now. A new configuration may let go of what an old one could not. */
  async #network(): Promise<FoundNetwork> {
    const { confDir } = this.#options;
    const { network, refused } = findNetwork(confDir);
    const seen = JSON.stringify(network ?? refused);
    if (seen !== this.#triedWith) {
      this.#triedWith = seen;
      this.#readyUntilMs = 0;
      if (this.#left.length > 0) await this.#detachLeft();
    }
    if (network) return network;
    const why = refused.map(({ file, message }) => `; ${file}: ${message}`).join('');
    throw new UmiakError('ServiceUnavailable', `there is no CNI network in ${confDir}${why}`, {
      hint: `Put a configuration (.conflist) into ${confDir}.`,
    });
  }

  async #detach(cached: CachedAttachment, timeoutMs?: number): Promise<void> {
    const { attachment, list, result } = cached;
    const netns = isPinned(attachment.netns) ? attachment.netns : '';
    const chain = timeoutMs === undefined ? this.#chain : new PluginChain({ binDirs: this.#options.binDirs, timeoutMs });
    await chain.del(list, { ...attachment, netns }, result);
    this.#cache.remove(cached);
  }

  /** What can't be let go now stays on disk, for the next configuration and the next start. One that hangs keeps nobody waiting twice. */
  async #detachLeft(timeoutMs?: number): Promise<void> {
    const left = this.#left;
    this.#left = [];
    let doesHang = false;
    for (const cached of left) {
      try {
        if (doesHang) throw new UmiakError('Timeout', 'another call of its plugins hung');
        await this.#detach(cached, timeoutMs);
      } catch (error) {
        doesHang ||= isUmiakError(error, 'Timeout');
        this.#left.push(cached);
        this.#options.log.warn(
          'a CNI network does not let go of a sandbox that is gone; tried again with the next start or configuration',
          {
            sandbox: cached.attachment.containerId,
            error: messageOf(error),
          },
        );
      }
    }
  }

  /** Tells the plugins which attachments stand, ours and others', so that they free what they hold for none of them. */
  async #collectGarbage(): Promise<void> {
    const { confDir, foreignCacheDir = FOREIGN_CACHE_DIR } = this.#options;
    const { network } = findNetwork(confDir);
    if (!network) return;
    const { list } = network;
    const known = [...this.#attached.values(), ...this.#left].filter(each => each.list.name === list.name);
    const ours = known.map(({ attachment }) => ({ containerID: attachment.containerId, ifname: attachment.ifName }));
    try {
      await this.#chain.gc(list, [...ours, ...readForeignAttachments(foreignCacheDir, list.name)]);
    } catch (error) {
      this.#options.log.warn('a CNI plugin did not collect its garbage', { error: messageOf(error) });
    }
  }
}

/**
 * Plugins that a killed agent had started go on by themselves: what they still do must be over before it is undone. One in the middle of a
 * system call that does not end holds up no start.
 */
async function killPluginsOf(containerIds: ReadonlySet<string>): Promise<void> {
  for (let round = 0; round < KILL_ROUNDS; round++) {
    const pids = readdirSync('/proc').filter(name => /^\d+$/.test(name));
    const processes = pids.filter(pid => containerIds.has(containerIdOf(Number(pid)))).flatMap(pid => identify(Number(pid)) ?? []);
    if (processes.length === 0) return; // none that another had just forked
    for (const process of processes) signalProcess(process, SIGKILL);
    const ended = await Promise.all(processes.map(process => waitForEnd(process, DEATH_TIMEOUT_MS)));
    if (ended.includes(false)) return;
  }
}

/** What it works for, if it is a plugin or was started by one. */
function containerIdOf(pid: number): string {
  const name = 'CNI_CONTAINERID=';
  return (
    readEnvironment(pid)
      .find(variable => variable.startsWith(name))
      ?.slice(name.length) ?? ''
  );
}
