import { mkdirSync } from 'node:fs';
import { type Clock, systemClock } from '#base/clock.ts';
import { messageOf } from '#base/errors.ts';
import type { Log } from '#base/log.ts';
import { readCgroupLayout } from '#linux/cgroup.ts';
import { lockFileWhenFree } from '#linux/lock.ts';
import { AttachQueue } from './attach-queue.ts';
import { type CgroupDriver, EngineCgroups } from './cgroups.ts';
import { ContainerLife } from './container-life.ts';
import { ContainerRuns } from './container-runs.ts';
import { EventFeed } from './events.ts';
import { readBootId, readHostFacts } from './host-facts.ts';
import { Ledger } from './ledger.ts';
import { LocalEngine } from './local-engine.ts';
import { MachineChecks } from './machine-checks.ts';
import { EnginePaths } from './paths.ts';
import type { CniSandboxes, ImageSource, SandboxNetworks } from './ports.ts';
import { Preparation } from './preparation.ts';
import { recover } from './recover.ts';
import { OciRuntimes } from './runtime.ts';
import { BUILT_IN_HANDLERS, type RuntimeHandlers } from './runtime-handlers.ts';
import { SandboxLife } from './sandbox-life.ts';
import type { SnapshotterKind } from './snapshotter.ts';
import { ContainerStreams } from './streams.ts';

export interface EngineOptions {
  dataDir: string;
  runDir: string;
  /** Prefix of its control groups; instances live side by side. */
  instance: string;
  images: ImageSource;
  networks: SandboxNetworks;
  /** The machine's CNI plugins; without them no sandbox can have network `cni`. */
  cni?: CniSandboxes;
  /** For sandboxes that don't say; default crun. */
  runtime?: string;
  /** Runtime handlers; default crun, runc and runsc, where they are installed. */
  runtimes?: RuntimeHandlers;
  /** Who makes control groups; default: we do. */
  cgroupDriver?: CgroupDriver;
  /** How containers get their root file systems; default `auto`: by overlay, by copies where that can't be. */
  snapshotter?: SnapshotterKind | 'auto';
  clock?: Clock;
  log: Log;
  /** For tests of a reboot. */
  bootId?: string;
}

/** For a child that a killed engine was just starting to become the program it is to be. */
const LOCK_TIMEOUT_MS = 10_000;

/** Opens the engine, comparing what was recorded with what is there: what runs is adopted, what ended is known, what is half made is cleaned away. */
export async function openEngine({
  dataDir,
  runDir,
  instance,
  images,
  networks,
  cni,
  runtime = 'crun',
  runtimes: handlers = BUILT_IN_HANDLERS,
  cgroupDriver = 'cgroupfs',
  snapshotter,
  clock = systemClock,
  log,
  bootId = readBootId(),
}: EngineOptions): Promise<LocalEngine> {
  const paths = new EnginePaths({ dataDir, runDir });
  for (const directory of [paths.sandboxes, paths.containers, paths.mapped]) mkdirSync(directory, { recursive: true, mode: 0o711 });
  for (const directory of [paths.bundles, paths.exits]) mkdirSync(directory, { recursive: true, mode: 0o700 });

  const lock = await lockFileWhenFree(paths.lock, `the engine in ${runDir}`, LOCK_TIMEOUT_MS);
  const layout = readCgroupLayout();
  const host = readHostFacts(layout);
  const ledger = new Ledger(paths);
  const cgroups = new EngineCgroups({ layout, instance, driver: cgroupDriver });
  const events = new EventFeed();
  const runtimes = new OciRuntimes({ paths, handlers, systemdCgroups: cgroupDriver === 'systemd' });
  const attachments = new AttachQueue();
  const preparation = new Preparation({
    paths,
    ledger,
    host,
    images,
    runtimes,
    snapshotter,
    onCopies: why => log.warn('overlayfs does not work here: containers get copies of their images', { why: messageOf(why) }),
  });
  const runs = new ContainerRuns({ paths, ledger, cgroups, events, preparation, runtimes, attachments, clock, bootId, log });
  const checks = new MachineChecks(layout);
  const containers = new ContainerLife({
    paths,
    ledger,
    cgroups,
    events,
    preparation,
    runs,
    images,
    runtimes,
    defaultRuntime: runtime,
    checks,
    clock,
  });
  const sandboxes = new SandboxLife({ paths, ledger, cgroups, events, containers, networks, cni, checks, clock, bootId });
  const streams = new ContainerStreams({ paths, ledger, runs, runtimes, attachments, host, clock });

  try {
    await recover({ paths, ledger, cgroups, runs, networks, cni, bootId });
    preparation.clear();
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
  return new LocalEngine({
    lock,
    paths,
    cgroupDriver,
    ledger,
    cgroups,
    events,
    runs,
    containers,
    sandboxes,
    streams,
    runtimes,
    defaultRuntime: runtime,
    clock,
  });
}
