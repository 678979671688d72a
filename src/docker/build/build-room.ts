import { existsSync } from 'node:fs';
import type { Clock } from '#base/clock.ts';
import { UmiakError } from '#base/errors.ts';
import type { Log } from '#base/log.ts';
import type { Builder } from '#builder/index.ts';
import { removeLeftSteps } from '#builder/left-steps.ts';
import type { Engine } from '#engine/index.ts';
import type { ImageStore } from '#images/image-store.ts';
import type { BuildParameters } from './build-parameters.ts';
import { type StepNetworksOptions, stepNetworkOf } from './step-networks.ts';

export interface BuildRoomOptions extends StepNetworksOptions {
  dataDir: string;
  engine: Engine;
  images: ImageStore;
  clock: Clock;
  log: Log;
}

/** The builder behind docker's build calls, made with the first of them, and the builds under way by their ids. */
export class BuildRoom implements AsyncDisposable {
  readonly #options: BuildRoomOptions;
  /** The cache's layers stay when an image goes before the first build. */
  readonly #cacheKeeper: Disposable | undefined;
  readonly #underWay = new Map<string, AbortController>();
  #builder: Promise<Builder> | undefined;

  private constructor(options: BuildRoomOptions) {
    this.#options = options;
    if (existsSync(`${options.dataDir}/builder`)) this.#cacheKeeper = options.images.content.keeper(() => this.builder());
  }

  /** Removes what builds of a killed process left running. */
  static async open(options: BuildRoomOptions): Promise<BuildRoom> {
    await removeLeftSteps(options.engine, options.dataDir);
    return new BuildRoom(options);
  }

  builder(): Promise<Builder> {
    this.#builder ??= import('#builder/index.ts')
      .then(({ Builder }) => Builder.open(this.#options))
      .catch(error => {
        this.#builder = undefined; // the next one tries again
        throw error;
      });
    return this.#builder;
  }

  /** The network that a build's commands have. @throws NotFound, Conflict in docker's words */
  networkOf(parameters: BuildParameters): ReturnType<typeof stepNetworkOf> {
    return stepNetworkOf(parameters, this.#options);
  }

  /** A build that `cancel` ends by its id, if it has one. */
  begin(buildId: string, signal: AbortSignal): { signal: AbortSignal } & Disposable {
    if (buildId === '') return { signal, [Symbol.dispose]() {} };
    if (this.#underWay.has(buildId)) throw new UmiakError('Conflict', `build ${buildId.slice(0, 128)} is under way already`);
    const own = new AbortController();
    this.#underWay.set(buildId, own);
    return { signal: AbortSignal.any([signal, own.signal]), [Symbol.dispose]: () => void this.#underWay.delete(buildId) };
  }

  /** Ends a build; one that has ended is no error. */
  cancel(buildId: string): void {
    this.#underWay.get(buildId)?.abort(new UmiakError('Gone', 'build cancelled'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cacheKeeper?.[Symbol.dispose]();
    for (const own of this.#underWay.values()) own.abort(new UmiakError('ServiceUnavailable', 'the agent ends'));
    await (await this.#builder?.catch(() => undefined))?.[Symbol.asyncDispose]();
  }
}
