import { messageOf } from '#base/errors.ts';
import type { Change } from './resource-cache.ts';
import type { Converter } from './resources.ts';
import type { WatchFrame, WatchSink } from './watch.ts';

/** A watch's way through a converter that takes its time: everything arrives in order, and a failure ends the watch. */
export class ConvertingSink implements WatchSink {
  readonly #sink: WatchSink;
  readonly #converter: Converter;
  #last: Promise<void> = Promise.resolve();
  #waitingBytes = 0;
  #isOver = false;

  constructor(sink: WatchSink, converter: Converter) {
    this.#sink = sink;
    this.#converter = converter;
  }

  get backlogBytes(): number {
    return this.#sink.backlogBytes + this.#waitingBytes;
  }

  frames(frames: WatchFrame[]): void {
    const bytes = frames.reduce((sum, { object }) => sum + object.size, 0);
    this.#waitingBytes += bytes;
    this.#then(async () => {
      this.#waitingBytes -= bytes;
      await this.#pass(frames);
    });
  }

  /** Passes what `choose` makes of the changes, once it can see them as they are shown. */
  changes(changes: Change[], choose: (changes: Change[]) => WatchFrame[]): void {
    const bytes = changes.reduce((sum, { object }) => sum + object.size, 0);
    this.#waitingBytes += bytes;
    this.#then(async () => {
      this.#waitingBytes -= bytes;
      await this.#converter.show(changes.flatMap(({ object, previous }) => (previous ? [object, previous] : [object])));
      const frames = choose(changes);
      if (frames.length > 0) await this.#pass(frames);
    });
  }

  async #pass(frames: WatchFrame[]): Promise<void> {
    const objects = await this.#converter.show(frames.map(({ object }) => object));
    this.#sink.frames(frames.map((frame, i) => ({ ...frame, object: objects[i]! })));
  }

  bookmark(revision: number, initialEventsEnd: boolean): void {
    this.#then(() => this.#sink.bookmark(revision, initialEventsEnd));
  }

  async drained(): Promise<void> {
    await this.#last;
    await this.#sink.drained();
  }

  end(expired?: { message: string }): void {
    this.#then(() => this.#sink.end(expired));
  }

  cut(): void {
    this.#isOver = true;
    this.#sink.cut();
  }

  #then(step: () => Promise<void> | void): void {
    this.#last = this.#last.then(async () => {
      if (this.#isOver) return;
      try {
        await step();
      } catch (error) {
        this.#isOver = true;
        this.#sink.end({ message: messageOf(error) });
      }
    });
  }
}
