import { serveCalls } from '#base/worker-calls.ts';
import { copyLayers } from './copy-layers.ts';
import { fillDirectory } from './fill-directory.ts';

const handlers = { copyLayers, fillDirectory };

export type CopyHandlers = typeof handlers;

serveCalls(handlers);
