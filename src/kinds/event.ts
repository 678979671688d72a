import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';

export const Event: Kind<types.Event> = defineKind('v1/Event');
export type Event = types.Event;

export const EventsV1Event: Kind<types.EventsV1Event> = defineKind('events.k8s.io/v1/Event');
export type EventsV1Event = types.EventsV1Event;
