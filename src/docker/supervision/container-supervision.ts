import type { Clock, Log } from '#base/index.ts';
import type { Container, Engine } from '#engine/engine.ts';
import { type Health, type HealthCheck, type RestartPolicy, type Supervised, Supervisor } from '#engine/supervision/index.ts';
import type * as forms from '../containers/forms.ts';
import { describeActor } from '../events/engine-events.ts';
import type { ContainerLookup, DockerContainer, DockerData, Events, Supervision } from '../rooms.ts';

export interface ContainerSupervisionOptions {
  engine: Pick<Engine, 'container' | 'containers' | 'execSync' | 'subscribe'>;
  containers: Pick<ContainerLookup, 'find' | 'change' | 'start' | 'restartGivenUp'>;
  events: Events;
  clock: Clock;
  log: Log;
}

/** The engine's supervision of docker's own containers: their policies and checks stand in docker's record, and what is noted of them too. */
export class ContainerSupervision implements Supervision, AsyncDisposable {
  readonly #supervisor: Supervisor;

  constructor({ engine, containers, events, clock, log }: ContainerSupervisionOptions) {
    this.#supervisor = new Supervisor({
      engine,
      read: readSupervised,
      note: async (id, notes) => void (await containers.change(id, data => ({ ...data, ...notes }))),
      start: (id, isWanted) => containers.start(id, 'policy', isWanted),
      onGivenUp: id => containers.restartGivenUp(id),
      needs: container => needsOf(container, name => containers.find(name).id),
      onHealth(container, { status }) {
        const { name, image, labels } = describeActor(container, undefined);
        events.emit({ type: 'container', action: `health_status: ${status}`, id: container.id, attributes: { ...labels, image, name } });
      },
      clock,
      log,
    });
  }

  /** Once the docker face is whole: checks go on, and what is to run and does not is started. */
  async resume(): Promise<void> {
    await this.#supervisor.resume();
  }

  starting({ engine }: DockerContainer): Promise<void> {
    return this.#supervisor.starting(engine);
  }

  stopping({ engine }: DockerContainer): Promise<void> {
    return this.#supervisor.stopping(engine);
  }

  changed({ engine }: DockerContainer): void {
    this.#supervisor.changed(engine);
  }

  isRestarting({ engine }: DockerContainer): boolean {
    return this.#supervisor.isRestarting(engine);
  }

  healthOf({ engine }: DockerContainer): forms.Health | undefined {
    const health = this.#supervisor.healthOf(engine);
    return health && toHealthForm(health);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#supervisor[Symbol.asyncDispose]();
  }
}

/** What docker's record asks for and notes; undefined for containers of others. Pure. */
export function readSupervised({ owner, config }: Container): Supervised | undefined {
  const data = owner === 'docker' ? (config.ownerData as DockerData | undefined) : undefined;
  if (!data) return undefined;
  const { config: asked, hostConfig, restartCount = 0, wasStopped = false, health } = data;
  return {
    policy: toPolicy(hostConfig.RestartPolicy),
    check: asked.Healthcheck && toCheck(asked.Healthcheck),
    shell: asked.Shell?.length ? asked.Shell : undefined,
    restartCount,
    wasStopped,
    health,
  };
}

function toPolicy({ Name, MaximumRetryCount }: forms.RestartPolicy): RestartPolicy {
  return { policy: Name || 'no', maximumRetries: MaximumRetryCount };
}

const NANOS = 1e6;

function toCheck({ Test, Interval = 0, Timeout = 0, StartPeriod = 0, StartInterval = 0, Retries = 0 }: forms.Healthcheck): HealthCheck {
  return {
    test: Test ?? [],
    intervalMs: Interval / NANOS,
    timeoutMs: Timeout / NANOS,
    startPeriodMs: StartPeriod / NANOS,
    startIntervalMs: StartInterval / NANOS,
    retries: Retries,
  };
}

/** `State.Health` of inspect. Pure. */
export function toHealthForm({ status, failingStreak, log }: Health): forms.Health {
  const time = (ms: number) => new Date(ms).toISOString();
  return {
    Status: status,
    FailingStreak: failingStreak,
    Log: log.map(({ startMs, endMs, exitCode, output }) => ({
      Start: time(startMs),
      End: time(endMs),
      ExitCode: exitCode,
      Output: output,
    })),
  };
}

/** Containers whose namespaces it joins, or to which it is linked. */
function needsOf({ owner, config }: Container, idOf: (name: string) => string): string[] {
  const data = owner === 'docker' ? (config.ownerData as DockerData | undefined) : undefined;
  if (!data) return [];
  const { NetworkMode, IpcMode, PidMode, Links, VolumesFrom } = data.hostConfig;
  const modes = [NetworkMode, IpcMode, PidMode].flatMap(mode => (mode.startsWith('container:') ? [mode.slice(10)] : []));
  const others = [...(Links ?? []), ...(VolumesFrom ?? [])].map(each => each.split(':')[0]?.replace(/^\//, '') ?? '');
  return [...modes, ...others].flatMap(name => {
    try {
      return [idOf(name)];
    } catch {
      return []; // it is gone: the start will say so
    }
  });
}
