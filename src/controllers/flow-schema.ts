import { toTime } from '#base/clock.ts';
import { alsoWatch, defineController, done } from '#client/index.ts';
import { FlowSchema, PriorityLevelConfiguration } from '#kinds/flowcontrol.ts';
import { ignoreAbsent } from './absence.ts';

/** Says of every FlowSchema whether the priority level it names is there (condition `Dangling`). */
export const flowSchemaController = defineController<FlowSchema>({
  name: 'priority-and-fairness-config-consumer',
  watches: FlowSchema,
  alsoWatches: [
    alsoWatch(PriorityLevelConfiguration, ({ metadata }, { client }) =>
      client
        .cached(FlowSchema)
        .list()
        .filter(({ spec }) => spec.priorityLevelConfiguration.name === metadata.name)
        .map(schema => ({ name: schema.metadata.name })),
    ),
  ],
  async reconcile(key, { client, clock }) {
    const schema = await client.get(FlowSchema, key);
    if (!schema || schema.metadata.deletionTimestamp) return done;
    const level = client.cached(PriorityLevelConfiguration).get({ name: schema.spec.priorityLevelConfiguration.name });
    const conditions = planDangling(schema, level !== undefined, toTime(clock.now()));
    if (conditions) await ignoreAbsent(client.updateStatus(FlowSchema, { ...schema, status: { ...schema.status, conditions } }));
    return done;
  },
});

type Conditions = NonNullable<NonNullable<FlowSchema['status']>['conditions']>;

/** The schema's conditions as they should be; undefined when they are. */
function planDangling({ spec, status }: FlowSchema, isThere: boolean, now: string): Conditions | undefined {
  const { name } = spec.priorityLevelConfiguration;
  const present = status?.conditions ?? [];
  const before = present.find(({ type }) => type === 'Dangling');
  const message = isThere
    ? `This FlowSchema references the PriorityLevelConfiguration object named "${name}" and it exists`
    : `This FlowSchema references the PriorityLevelConfiguration object named "${name}" but there is no such object`;
  const wanted = { type: 'Dangling', status: isThere ? 'False' : 'True', reason: isThere ? 'Found' : 'NotFound', message };
  if (before?.status === wanted.status && before.message === message) return undefined;
  const lastTransitionTime = before?.status === wanted.status ? before.lastTransitionTime : now;
  return [...present.filter(({ type }) => type !== 'Dangling'), { ...wanted, ...(lastTransitionTime && { lastTransitionTime }) }];
}
