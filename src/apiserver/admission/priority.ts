import type { Pod, PriorityClass } from '#kinds/types.gen.ts';
import type { Stored } from '../resources.ts';
import { forbidden } from '../status.ts';
import type { AdmissionPlugin, Write } from '../write.ts';

/** Turns a pod's priority class into its number, and sees to it that only one class is the default. */
export function podPriority(pods: Stored, classes: Stored): AdmissionPlugin {
  const defaults = defaultClasses(classes);
  return {
    name: 'Priority',
    mutate(write) {
      if (write.operation === 'CREATE' && write.served.cache === pods.cache && !write.subresource)
        prioritize(write, pods, classes, defaults());
    },
    validate({ operation, served, name, object }) {
      if (operation === 'DELETE' || served.cache !== classes.cache || !(object as PriorityClass).globalDefault) return;
      const other = defaults().find(({ metadata }) => metadata.name !== name);
      if (other)
        throw forbidden(
          served.resource,
          name,
          `PriorityClass ${other.metadata.name} is already marked as default. Only one default can exist`,
        );
    },
  };
}

function prioritize({ object, name }: Write, pods: Stored, classes: Stored, defaults: readonly PriorityClass[]): void {
  const { spec } = object as Pod;
  const found = spec.priorityClassName ? classes.cache.get(spec.priorityClassName)?.object<PriorityClass>() : defaults[0];
  const refuse = (why: string) => forbidden(pods.resource, name, why);
  if (spec.priorityClassName && !found) throw refuse(`no PriorityClass with name ${spec.priorityClassName} was found`);
  const priority = found?.value ?? 0;
  const computed = (value: number | string) => `priority admission controller computed ${value} from the given PriorityClass name`;
  if (spec.priority !== undefined && spec.priority !== priority)
    throw refuse(`the integer value of priority (${spec.priority}) must not be provided in pod spec; ${computed(priority)}`);
  const policy = found?.preemptionPolicy ?? 'PreemptLowerPriority';
  if (spec.preemptionPolicy !== undefined && spec.preemptionPolicy !== policy)
    throw refuse(`the string value of PreemptionPolicy (${spec.preemptionPolicy}) must not be provided in pod spec; ${computed(policy)}`);
  spec.priority = priority;
  if (found && !spec.priorityClassName) spec.priorityClassName = found.metadata.name;
  spec.preemptionPolicy = policy;
}

/** The classes marked as default, the lowest first; found out anew when a class changes. */
function defaultClasses({ cache }: Stored): () => readonly PriorityClass[] {
  let known: PriorityClass[] | undefined;
  cache.listen(changes => {
    if (changes.length > 0) known = undefined;
  });
  return () => {
    known ??= [...cache.now.range('', '\uffff')]
      .map(stored => stored.object<PriorityClass>())
      .filter(({ globalDefault }) => globalDefault)
      .sort((a, b) => (a.value ?? 0) - (b.value ?? 0));
    return known;
  };
}
