import { type Duplex, PassThrough, type Readable, type Writable } from 'node:stream';
import { type Clock, systemClock } from '#base/clock.ts';
import { hasHungUp } from '#linux/hung-up.ts';

/** Who has said all is looked after this often: whether it still listens nobody is told of, once its end has been read. */
const LOOK_EVERY_MS = 60_000;

export interface ClientOptions {
  /** Who has said all may go on to listen, as over a socket. */
  halfCloses?: boolean;
  clock?: Clock;
}

/** Who has taken its connection over: what it says, what it hears, and whether it is gone. */
export class Client {
  /** What it says; its end may be all that it has to say, while it still listens. */
  readonly input: Readable;
  readonly output: Writable;
  /** Aborts as soon as it is known that nobody listens any more. */
  readonly gone: AbortSignal;
  readonly #connection: Duplex;

  constructor(connection: Duplex, { halfCloses = true, clock = systemClock }: ClientOptions = {}) {
    const gone = new AbortController();
    const input = new PassThrough();
    this.#connection = connection;
    this.input = input;
    this.output = connection;
    this.gone = gone.signal;
    const leave = () => gone.abort(new Error('the client left'));
    let next: Disposable | undefined;
    const look = () => {
      if (hasHungUp(connection)) connection.destroy();
      else next = clock.after(LOOK_EVERY_MS, look);
    };
    connection.once('close', () => {
      next?.[Symbol.dispose]();
      leave();
      input.end();
    });
    connection.on('error', () => connection.destroy());
    connection.once('end', () => {
      if (!halfCloses || hasHungUp(connection)) leave();
      else next = clock.after(LOOK_EVERY_MS, look);
    });
    if (connection.destroyed) leave();
    connection.pipe(input);
  }

  /** Says no more and hears no more. */
  hangUp(): void {
    this.input.resume();
    if (!this.#connection.destroyed) this.#connection.end(() => this.#connection.destroy());
  }
}
