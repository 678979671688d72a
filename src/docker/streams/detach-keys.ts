import { UmiakError } from '#base/errors.ts';

const DEFAULT_KEYS = 'ctrl-p,ctrl-q';
/** `ctrl-` and one of these is the control character with that letter's low bits. */
const CONTROL = /^[a-z@[\]\\^_]$/;

/** Docker's way to write keys: `ctrl-p,ctrl-q` or `a,b`. Nothing gives the default. @throws BadRequest in docker's words */
export function parseDetachKeys(text: string | null | undefined): Buffer {
  const keys = text || DEFAULT_KEYS;
  return Buffer.from(keys.split(',').map(key => toByte(key, keys)));
}

function toByte(key: string, keys: string): number {
  if (key.length === 1 && key.charCodeAt(0) < 128) return key.charCodeAt(0);
  const control = key.startsWith('ctrl-') ? key.slice('ctrl-'.length) : '';
  if (CONTROL.test(control)) return control.toUpperCase().charCodeAt(0) & 0x1f;
  throw new UmiakError('BadRequest', `Invalid detach keys (${keys.slice(0, 64)}) provided`);
}

/** Looks for the keys in what is typed. What may be the beginning of them waits until it is known. */
export class DetachScanner {
  readonly #keys: Buffer;
  #matched = 0;

  constructor(keys: Buffer) {
    this.#keys = keys;
  }

  /** What goes on to the container, and whether the keys were seen, behind which everything is left out. */
  scan(typed: Buffer): { bytes: Buffer; isDetached: boolean } {
    if (this.#matched === 0 && !typed.includes(this.#keys[0]!)) return { bytes: typed, isDetached: false };
    const bytes: number[] = [];
    for (const byte of typed) {
      if (byte !== this.#keys[this.#matched] && this.#matched > 0) {
        bytes.push(...this.#keys.subarray(0, this.#matched));
        this.#matched = 0;
      }
      if (byte !== this.#keys[this.#matched]) bytes.push(byte);
      else if (++this.#matched === this.#keys.length) return { bytes: Buffer.from(bytes), isDetached: true };
    }
    return { bytes: Buffer.from(bytes), isDetached: false };
  }
}
