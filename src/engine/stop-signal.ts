import { nameSignal, parseSignal } from '#linux/process.ts';
import type { ContainerRecord } from './records.ts';

const DEFAULT = 'SIGTERM';

type Wishes = Pick<ContainerRecord, 'config' | 'imageConfig'>;

/** What a container is stopped with. @throws Invalid when the configuration or the image names no signal */
export function stopSignalOf(wishes: Wishes): number {
  return parseSignal(wishOf(wishes));
}

/** The same by name, as it was given: `SIGTERM`, `SIGRTMIN+3`. Pure. */
export function stopSignalNameOf(wishes: Wishes): string {
  const wish = wishOf(wishes);
  return /^\d+$/.test(wish) ? nameSignal(Number(wish)) : `SIG${wish.toUpperCase().replace(/^SIG/, '')}`;
}

function wishOf({ config, imageConfig }: Wishes): string {
  return config.stopSignal || imageConfig.StopSignal || DEFAULT;
}
