import { randomInt } from 'node:crypto';
import { UmiakError } from '#base/errors.ts';

const NAME = /^\/?[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
const MOODS =
  'able amber bold brisk calm clear clever cold cosy daring deep eager early even fair fast firm fond free fresh gentle glad grand keen kind late lively loyal lucky merry mild neat noble proud quick quiet ready sharp silent sleek smooth soft steady still stout sturdy sunny swift tidy true warm wise young zesty'.split(
    ' ',
  );
const THINGS =
  'auk bay beluga berg bow cairn cape char cove current deck drift eider fjord floe fox frost gale gull haven hull ice island kayak keel lantern lemming lichen loon mast moss narwhal oar otter paddle plover polynya prow ptarmigan reef rudder sail seal shore skerry sledge snow sound stern storm tern tide tundra umiak walrus wave whale willow wind'.split(
    ' ',
  );

/** Who is called what: names are taken at once, ids are found by their beginnings. */
export class NameIndex {
  readonly #idOf = new Map<string, string>();
  readonly #nameOf = new Map<string, string>();

  /** The container has this name from now on, and no other. @throws Conflict in docker's words where somebody else has it */
  take(name: string, id: string): void {
    this.hold(name, id);
    const before = this.#nameOf.get(id);
    this.#nameOf.set(id, name);
    if (before !== undefined) this.drop(before, id);
  }

  /** Keeps a name for a container beside its own, until it takes it or drops it. @throws Conflict */
  hold(name: string, id: string): void {
    const holder = this.#idOf.get(name);
    if (holder !== undefined && holder !== id)
      throw new UmiakError(
        'Conflict',
        `Conflict. The container name "/${name}" is already in use by container "${holder}". You have to remove (or rename) that container to be able to reuse that name.`,
      );
    this.#idOf.set(name, id);
  }

  /** Gives up a name that is not its own. */
  drop(name: string, id: string): void {
    if (this.#nameOf.get(id) !== name && this.#idOf.get(name) === id) this.#idOf.delete(name);
  }

  /** The container and its name are gone. */
  free(id: string): void {
    const name = this.#nameOf.get(id);
    this.#nameOf.delete(id);
    if (name !== undefined) this.drop(name, id);
  }

  has(id: string): boolean {
    return this.#nameOf.has(id);
  }

  /** A name that nobody has. */
  invent(): string {
    for (let attempt = 0; ; attempt++) {
      const name = `${MOODS[randomInt(MOODS.length)]}_${THINGS[randomInt(THINGS.length)]}`;
      const whole = attempt < 6 ? name : `${name}${randomInt(1 << 20)}`;
      if (!this.#idOf.has(whole)) return whole;
    }
  }

  /** By id, name or the beginning of an id, as docker looks: a whole name goes before a part of an id. @throws NotFound, BadRequest */
  find(reference: string): string {
    if (reference === '') throw new UmiakError('BadRequest', 'invalid name or ID supplied: ""');
    if (this.#nameOf.has(reference)) return reference;
    const named = this.#idOf.get(reference.replace(/^\//, ''));
    if (named !== undefined) return named;
    const found: string[] = [];
    if (/^[0-9a-f]{1,63}$/.test(reference)) for (const id of this.#nameOf.keys()) if (id.startsWith(reference)) found.push(id);
    const [only] = found;
    if (found.length > 1) throw new UmiakError('BadRequest', `multiple IDs found with provided prefix: ${reference}`);
    if (only === undefined) throw new UmiakError('NotFound', `No such container: ${reference.slice(0, 256)}`);
    return only;
  }
}

/** A name as a client gives it, without the slash. @throws BadRequest */
export function parseName(name: string): string {
  if (!NAME.test(name) || name.length > 255)
    throw new UmiakError('BadRequest', `Invalid container name (${name.slice(0, 256)}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
  return name.replace(/^\//, '');
}
