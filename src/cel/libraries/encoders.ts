import { CelError } from '../errors.ts';
import { define, type Overload, scan } from '../overload.ts';

/** `base64` and the escaping of JSON Pointer keys. */
export const encoders: readonly Overload[] = [
  define('base64.encode(bytes): string', (bytes: Uint8Array) => Buffer.from(bytes).toString('base64'), {
    cost: scan,
    resultSize: (size = 0) => Math.ceil(size * 1.4),
  }),
  define(
    'base64.decode(string): bytes',
    (text: string) => {
      if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) throw new CelError('illegal base64 data');
      return Buffer.from(text, 'base64');
    },
    { cost: scan, resultSize: (size = 0) => size },
  ),
  define('jsonpatch.escapeKey(string): string', (key: string) => key.replaceAll('~', '~0').replaceAll('/', '~1'), {
    cost: scan,
    resultSize: (size = 0) => size * 2,
  }),
];
