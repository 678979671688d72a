import type { Clock, Log } from '#base/index.ts';
import { groupResourceOf, type Kind, type KubeObject } from '#kinds/kind.ts';
import type { Client } from './client.ts';
import { Informer, type Project } from './informer.ts';

export interface InformersOptions {
  client: Client;
  clock: Clock;
  log: Log;
}

/** One informer a kind for all parts of a process: each object is read and kept once, and only as much of it as somebody needs. */
export class Informers implements AsyncDisposable {
  readonly #options: InformersOptions;
  readonly #informers = new Map<string, Informer<KubeObject>>();

  constructor(options: InformersOptions) {
    this.#options = options;
  }

  /** The informer of `kind`, for who needs whole objects or, with `project`, less. Ask before it starts; starting it is the asker's. */
  of<T extends KubeObject>(kind: Kind<T>, project?: Project<T>): Informer<T> {
    const name = groupResourceOf(kind.resource);
    const known = this.#informers.get(name) as Informer<T> | undefined;
    known?.keepAlso(project);
    const informer = known ?? new Informer<T>({ ...this.#options, kind, ...(project ? { project } : {}) });
    this.#informers.set(name, informer as unknown as Informer<KubeObject>);
    return informer;
  }

  /** The informer of a kind that somebody has asked for. @throws TypeError when nobody has */
  known<T extends KubeObject>(kind: Kind<T>): Informer<T> {
    const informer = this.#informers.get(groupResourceOf(kind.resource));
    if (!informer) throw new TypeError(`nobody watches ${groupResourceOf(kind.resource)}`);
    return informer as unknown as Informer<T>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#informers.values()].map(informer => informer[Symbol.asyncDispose]()));
  }
}
