import { UmiakError } from '#base/errors.ts';

/**
 * Changes values on their way to the disk and back, in the worker: below cache, history and backup.
 * Both directions get the key, so that a cipher can authenticate it with the value; `fromStored` throws when it can't.
 * A transformer marks what it wrote, so that it also reads what stood there before it was configured.
 */
export interface ValueTransformer {
  toStored(value: Uint8Array, key: string): Uint8Array;
  fromStored(stored: Uint8Array, key: string): Uint8Array;
}

/** A module that exports `createTransformer(options): ValueTransformer`; `options` must survive structured cloning. */
export interface TransformerModule {
  /** Absolute `file:` URL. */
  module: string;
  options?: unknown;
}

/** Prefix → who transforms the values under it; the longest prefix wins. */
export type TransformerConfig = Record<string, 'identity' | TransformerModule>;

const identity: ValueTransformer = { toStored: value => value, fromStored: stored => stored };

/** Loads what `config` names and returns who is responsible for a key. */
export async function loadTransformers(config: TransformerConfig): Promise<(key: string) => ValueTransformer> {
  const loaded: { prefix: string; transformer: ValueTransformer }[] = [];
  for (const [prefix, which] of Object.entries(config)) {
    loaded.push({ prefix, transformer: which === 'identity' ? identity : await load(which) });
  }
  if (loaded.length === 0) return () => identity;
  loaded.sort((a, b) => b.prefix.length - a.prefix.length);
  return key => loaded.find(({ prefix }) => key.startsWith(prefix))?.transformer ?? identity;
}

async function load({ module, options }: TransformerModule): Promise<ValueTransformer> {
  const exported: { createTransformer?: (options: unknown) => ValueTransformer } = await import(module);
  if (!exported.createTransformer) throw new UmiakError('Invalid', `value transformer ${module} does not export createTransformer`);
  return exported.createTransformer(options);
}
