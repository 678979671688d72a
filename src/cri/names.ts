import { UmiakError } from '#base/errors.ts';

/** Names that are being given: two calls at once can't both have one. What has been made already is asked for each time. */
export class NameReservations {
  readonly #reserved = new Set<string>();

  /** Until disposed. `holder` tells who has the name already. @throws `AlreadyExists` */
  reserve(kind: 'sandbox' | 'container', name: string, holder: () => { id: string } | undefined): Disposable {
    const taken = this.#reserved.has(name) ? 'another call that is under way' : holder()?.id;
    if (taken !== undefined)
      throw new UmiakError('AlreadyExists', `failed to reserve ${kind} name ${JSON.stringify(name)}: it is reserved for ${taken}`, {
        details: { kind, name },
      });
    this.#reserved.add(name);
    return { [Symbol.dispose]: () => void this.#reserved.delete(name) };
  }
}
