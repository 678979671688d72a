import type { Clock, Log } from '#base/index.ts';
import type { Container, Engine } from '#engine/engine.ts';
import { describeActor, planCatchUp, toDockerEvents } from './engine-events.ts';
import { EventJournal } from './event-journal.ts';

export interface DockerEventsOptions {
  dataDir: string;
  engine: Pick<Engine, 'containers' | 'sandbox' | 'subscribe'>;
  clock: Clock;
  log: Log;
}

/** The journal with what the engine tells of all containers, the pods' too; before anything new, what happened while nobody wrote. */
export class DockerEvents extends EventJournal {
  readonly #subscription: Disposable;

  constructor({ engine, ...options }: DockerEventsOptions) {
    super(options);
    const describe = (container: Container) => describeActor(container, engine.sandbox(container.config.sandboxId));
    const { lastBefore } = this;
    for (const event of lastBefore ? planCatchUp(engine.containers(), lastBefore) : [])
      for (const each of toDockerEvents(event, describe)) this.emit(each);
    this.#subscription = engine.subscribe(event => {
      for (const each of toDockerEvents(event, describe)) this.emit(each);
    });
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    this.#subscription[Symbol.dispose]();
    await super[Symbol.asyncDispose]();
  }
}
