import { UmiakError } from '#base/errors.ts';
import type { ContainerConfig } from '#images/index.ts';
import { envMap } from './substitution.ts';

const MAX_ENV = 4096;

/** An image's configuration while instructions change it. What grows does so in place, so that long Dockerfiles cost time by their length only. */
export class ConfigDraft {
  readonly env: ReadonlyMap<string, string>;
  readonly labels: Map<string, string>;
  readonly volumes: Set<string>;
  readonly ports: Set<string>;
  readonly #env: Map<string, string>;
  /** All else. */
  rest: Omit<ContainerConfig, 'Env' | 'Labels' | 'Volumes' | 'ExposedPorts' | 'OnBuild'>;
  onBuild: string[];
  #envList: string[] | undefined;

  constructor({ Env, Labels, Volumes, ExposedPorts, OnBuild, ...rest }: ContainerConfig) {
    this.#env = envMap(Env ?? []);
    this.env = this.#env;
    this.labels = new Map(Object.entries(Labels ?? {}));
    this.volumes = new Set(Object.keys(Volumes ?? {}));
    this.ports = new Set(Object.keys(ExposedPorts ?? {}));
    this.onBuild = [...(OnBuild ?? [])];
    this.rest = rest;
  }

  /** @throws Invalid for more variables than a command can be given */
  setEnv(name: string, value: string): void {
    this.#env.set(name, value);
    this.#envList = undefined;
    if (this.#env.size > MAX_ENV) throw new UmiakError('Invalid', `the image has more than ${MAX_ENV} environment variables`);
  }

  /** `name=value`; the same list until one changes. */
  get envList(): readonly string[] {
    this.#envList ??= [...this.#env].map(([name, value]) => `${name}=${value}`);
    return this.#envList;
  }

  toConfig(): ContainerConfig {
    const { labels, volumes, ports, onBuild } = this;
    const empties = (names: Iterable<string>) => Object.fromEntries([...names].map(name => [name, {}]));
    return {
      ...this.rest,
      Env: [...this.envList],
      ...(labels.size > 0 ? { Labels: Object.fromEntries(labels) } : {}),
      ...(volumes.size > 0 ? { Volumes: empties(volumes) } : {}),
      ...(ports.size > 0 ? { ExposedPorts: empties(ports) } : {}),
      ...(onBuild.length > 0 ? { OnBuild: [...onBuild] } : {}),
    };
  }
}

/** What all of a Dockerfile's instructions together may come to: variables can multiply what is written. */
export class PlanBudget {
  #chars: number = 16 << 20;
  #ports = 1 << 18;

  /** @throws Invalid */
  takeChars(count: number): void {
    this.#chars -= count;
    if (this.#chars < 0) throw new UmiakError('Invalid', 'with its variables replaced, the Dockerfile is too long');
  }

  /** @throws Invalid */
  takePorts(count: number): void {
    this.#ports -= count;
    if (this.#ports < 0) throw new UmiakError('Invalid', 'EXPOSE names too many ports');
  }
}
