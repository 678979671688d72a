import type { FieldCause } from '#base/errors.ts';
import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';
import { forbidden, invalid, required, validateEnum } from './validation.ts';

const GROUP = 'flowcontrol.apiserver.k8s.io';
const SUBJECTS = { User: 'user', Group: 'group', ServiceAccount: 'serviceAccount' } as const;

type Rules = NonNullable<types.FlowSchema['spec']['rules']>[number];
type Queuing = NonNullable<NonNullable<NonNullable<types.PriorityLevelConfiguration['spec']['limited']>['limitResponse']>['queuing']>;

/** Which requests go in which lane. */
export const FlowSchema: Kind<types.FlowSchema> = defineKind<types.FlowSchema>(`${GROUP}/v1/FlowSchema`, {
  defaults({ spec }) {
    spec.matchingPrecedence ??= 1000;
  },
  validate: ({ metadata, spec }) => [
    ...validatePrecedence(metadata.name, spec.matchingPrecedence ?? 1000),
    ...(spec.priorityLevelConfiguration.name ? [] : [required('spec.priorityLevelConfiguration.name', 'must reference a priority level')]),
    ...(spec.distinguisherMethod
      ? validateEnum(spec.distinguisherMethod.type, ['ByNamespace', 'ByUser'], 'spec.distinguisherMethod.type', true)
      : []),
    ...(spec.rules ?? []).flatMap((rules, i) => validateRules(rules, `spec.rules[${i}]`)),
  ],
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
    defaults({ spec }) {
      if (spec.exempt) {
        spec.exempt.nominalConcurrencyShares ??= 0;
        spec.exempt.lendablePercent ??= 0;
      }
      if (!spec.limited) return;
      spec.limited.nominalConcurrencyShares ??= 30;
      spec.limited.lendablePercent ??= 0;
      const queuing = spec.limited.limitResponse?.queuing;
      if (!queuing) return;
      queuing.queues ??= 64;
      queuing.handSize ??= 8;
      queuing.queueLengthLimit ??= 50;
    },
    validate: validateLevel,
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

function validatePrecedence(name: string, precedence: number): FieldCause[] {
  const at = 'spec.matchingPrecedence';
  if (precedence < 1) return [invalid(at, precedence, 'must be a positive value')];
  if (precedence > 10_000) return [invalid(at, precedence, 'must not be greater than 10000')];
  if (precedence === 1 && name !== 'exempt')
    return [invalid(at, precedence, "only the schema named 'exempt' may have matchingPrecedence 1")];
  return [];
}

function validateRules({ subjects = [], resourceRules = [], nonResourceRules = [] }: Rules, at: string): FieldCause[] {
  const causes = subjects.length ? [] : [required(`${at}.subjects`, 'subjects must contain at least one value')];
  subjects.forEach((subject, i) => {
    const here = `${at}.subjects[${i}]`;
    causes.push(...validateEnum(subject.kind, Object.keys(SUBJECTS), `${here}.kind`, true));
    for (const [kind, field] of Object.entries(SUBJECTS)) {
      const given = subject[field];
      if (kind === subject.kind && !given) causes.push(required(`${here}.${field}`, `${field} is required when subject kind is '${kind}'`));
      if (kind !== subject.kind && given)
        causes.push(forbidden(`${here}.${field}`, `${field} is forbidden when subject kind is not '${kind}'`));
      if (kind === subject.kind && given && !given.name) causes.push(required(`${here}.${field}.name`));
    }
  });
  if (!resourceRules.length && !nonResourceRules.length)
    causes.push(required(at, 'at least one of resourceRules and nonResourceRules has to be non-empty'));
  resourceRules.forEach(({ verbs, apiGroups, resources, namespaces = [], clusterScope }, i) => {
    const here = `${at}.resourceRules[${i}]`;
    for (const [field, values] of Object.entries({ verbs, apiGroups, resources }))
      causes.push(...validateWords(values, `${here}.${field}`));
    if (!namespaces.length && !clusterScope)
      causes.push(required(`${here}.namespaces`, 'resource rules that are not cluster scoped must supply at least one namespace'));
  });
  nonResourceRules.forEach(({ verbs, nonResourceURLs }, i) => {
    for (const [field, values] of Object.entries({ verbs, nonResourceURLs }))
      causes.push(...validateWords(values, `${at}.nonResourceRules[${i}].${field}`));
  });
  return causes;
}

function validateWords(values: readonly string[], at: string): FieldCause[] {
  const field = at.slice(at.lastIndexOf('.') + 1);
  if (!values.length) return [required(at, `${field} must contain at least one value`)];
  return values.length > 1 && values.includes('*') ? [invalid(at, values, `if '*' is present, must not specify other ${field}`)] : [];
}

function validateLevel({ spec }: types.PriorityLevelConfiguration): FieldCause[] {
  const causes = validateEnum(spec.type, ['Exempt', 'Limited'], 'spec.type', true);
  const { limited, exempt } = spec;
  if (spec.type === 'Exempt' && limited) causes.push(forbidden('spec.limited', 'must be nil if the type is not Limited'));
  if (spec.type === 'Limited' && exempt) causes.push(forbidden('spec.exempt', 'must be nil if the type is Limited'));
  if (spec.type === 'Limited' && !limited) causes.push(required('spec.limited', 'must not be empty when type is Limited'));
  for (const [field, given] of Object.entries({ limited, exempt })) causes.push(...validateShares(given, `spec.${field}`));
  if (!limited) return causes;
  if ((limited.borrowingLimitPercent ?? 0) < 0)
    causes.push(
      invalid('spec.limited.borrowingLimitPercent', limited.borrowingLimitPercent, 'if specified, must be a non-negative integer'),
    );
  const at = 'spec.limited.limitResponse';
  const { type, queuing } = limited.limitResponse ?? { type: '' };
  causes.push(...validateEnum(type, ['Queue', 'Reject'], `${at}.type`, true));
  if (type === 'Reject' && queuing) causes.push(forbidden(`${at}.queuing`, 'must be nil if limited.limitResponse.type is not Queue'));
  if (type === 'Queue' && !queuing) causes.push(required(`${at}.queuing`, 'must not be empty if limited.limitResponse.type is Queue'));
  if (queuing) causes.push(...validateQueuing(queuing, `${at}.queuing`));
  return causes;
}

function validateShares(
  shares: { nominalConcurrencyShares?: number | undefined; lendablePercent?: number | undefined } | undefined,
  at: string,
): FieldCause[] {
  const { nominalConcurrencyShares = 0, lendablePercent = 0 } = shares ?? {};
  const causes: FieldCause[] = [];
  if (nominalConcurrencyShares < 0)
    causes.push(invalid(`${at}.nominalConcurrencyShares`, nominalConcurrencyShares, 'must be a non-negative integer'));
  if (lendablePercent < 0 || lendablePercent > 100)
    causes.push(invalid(`${at}.lendablePercent`, lendablePercent, 'must be between 0 and 100, inclusive'));
  return causes;
}

function validateQueuing({ queues = 64, handSize = 8, queueLengthLimit = 50 }: Queuing, at: string): FieldCause[] {
  const causes: FieldCause[] = [];
  if (queueLengthLimit <= 0) causes.push(invalid(`${at}.queueLengthLimit`, queueLengthLimit, 'must be positive'));
  if (queues <= 0) causes.push(invalid(`${at}.queues`, queues, 'must be positive'));
  if (queues > 10_000_000) causes.push(invalid(`${at}.queues`, queues, 'must not be greater than 10000000'));
  if (handSize <= 0) causes.push(invalid(`${at}.handSize`, handSize, 'must be positive'));
  else if (handSize > queues) causes.push(invalid(`${at}.handSize`, handSize, `should not be greater than queues (${queues})`));
  else if (Array.from({ length: Math.min(handSize, 100) }, (_, i) => Math.log2(queues - i)).reduce((sum, bits) => sum + bits, 0) > 60)
    causes.push(
      invalid(
        `${at}.handSize`,
        handSize,
        `required entropy bits of deckSize ${queues} and handSize ${handSize} should not be greater than 60`,
      ),
    );
  return causes;
}
