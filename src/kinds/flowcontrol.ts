import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';
import { validateEnum } from './validation.ts';

const GROUP = 'flowcontrol.apiserver.k8s.io';
const UNATTENDED = 'requests are not limited by flow schemas yet';

/** Which requests go in which lane. */
export const FlowSchema: Kind<types.FlowSchema> = defineKind<types.FlowSchema>(`${GROUP}/v1/FlowSchema`, {
  unattended: UNATTENDED,
  defaults({ spec }) {
    spec.matchingPrecedence ??= 1000;
  },
  cells: {
    PriorityLevel: ({ spec }) => spec.priorityLevelConfiguration.name,
    MatchingPrecedence: ({ spec }) => String(spec.matchingPrecedence ?? 1000),
    DistinguisherMethod: ({ spec }) => spec.distinguisherMethod?.type ?? '<none>',
    MissingPL: ({ status }) => status?.conditions?.find(({ type }) => type === 'Dangling')?.status ?? '?',
  },
});
export type FlowSchema = types.FlowSchema;

/** A lane, and how wide it is. */
export const PriorityLevelConfiguration: Kind<types.PriorityLevelConfiguration> = defineKind<types.PriorityLevelConfiguration>(
  `${GROUP}/v1/PriorityLevelConfiguration`,
  {
    unattended: UNATTENDED,
    validate: ({ spec }) => validateEnum(spec.type, ['Exempt', 'Limited'], 'spec.type', true),
    cells: {
      Type: ({ spec }) => spec.type,
      NominalConcurrencyShares: ({ spec }) => String(spec.limited?.nominalConcurrencyShares ?? '<none>'),
      Queues: ({ spec }) => String(spec.limited?.limitResponse?.queuing?.queues ?? '<none>'),
      HandSize: ({ spec }) => String(spec.limited?.limitResponse?.queuing?.handSize ?? '<none>'),
      QueueLengthLimit: ({ spec }) => String(spec.limited?.limitResponse?.queuing?.queueLengthLimit ?? '<none>'),
    },
  },
);
export type PriorityLevelConfiguration = types.PriorityLevelConfiguration;
