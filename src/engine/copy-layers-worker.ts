import { serveCalls } from '#base/worker-calls.ts';
import { copyLayers } from './copy-layers.ts';

const handlers = { copyLayers };

export type CopyHandlers = typeof handlers;

serveCalls(handlers);
