import { parseQuantity } from '#base/quantity.ts';
import type { Quantity } from './types.gen.ts';

/** Amounts of bytes that are no whole numbers. */
export function fractionWarnings(
  amounts: Record<string, Quantity> | undefined,
  path: string,
  names: readonly string[] = ['memory', 'ephemeral-storage'],
): string[] {
  if (!amounts) return [];
  return names.flatMap(name => {
    const amount = amounts[name];
    // Only a text that ends so can be less than a whole.
    if (amount === undefined || !/[num]$/.test(String(amount)) || parseQuantity(amount).nano % 1_000_000_000n === 0n) return [];
    return [`${path}[${name}]: fractional byte value ${JSON.stringify(amount)} is invalid, must be an integer`];
  });
}
