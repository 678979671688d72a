import type { Controller } from '#client/index.ts';
import { localPathDeleter, localPathProvisioner } from './local-path.ts';
import { claimBinder, volumeBinder } from './persistent-volume.ts';
import { ephemeralVolumeController } from './volume-ephemeral.ts';
import { volumeExpandController } from './volume-expand.ts';
import { claimProtection, volumeProtection } from './volume-protection.ts';
import { selectedNodeController } from './volume-selected-node.ts';

/** All that claims and volumes need: from the wish to the directory, and back. */
export const volumeControllers: readonly Controller[] = [
  claimBinder,
  volumeBinder,
  selectedNodeController,
  localPathProvisioner,
  localPathDeleter,
  volumeExpandController,
  ephemeralVolumeController,
  claimProtection,
  volumeProtection,
];
