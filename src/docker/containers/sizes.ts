import type { LocalEngine } from '#engine/index.ts';
import { diskUsage } from '#linux/disk-usage.ts';

/** What containers wrote, and the same with their images' layers; counted once where several share them. */
export async function containerSizes(
  engine: Pick<LocalEngine, 'rootfsParts'>,
  ids: readonly string[],
): Promise<{ rw: number; rootFs: number }[]> {
  const parts = ids.map(id => engine.rootfsParts(id));
  const directories = new Set(parts.flatMap(({ directory, layers, isWhole }) => [directory, ...(isWhole ? [] : layers)]));
  const usage = await diskUsage([...directories]);
  return parts.map(({ directory, layers, isWhole }) => {
    const rw = usage.get(directory) ?? 0;
    return { rw, rootFs: (isWhole ? [] : layers).reduce((sum, layer) => sum + (usage.get(layer) ?? 0), rw) };
  });
}
