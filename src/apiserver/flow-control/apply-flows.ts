import { isUmiakError } from '#base/errors.ts';
import type { Client } from '#client/client.ts';
import { FlowSchema, PriorityLevelConfiguration } from '#kinds/flowcontrol.ts';
import { jsonEqual } from '#kinds/json-equal.ts';
import type { Draft, Kind, KubeObject } from '#kinds/kind.ts';
import { bootstrapFlows, bootstrapLevels, MANDATORY } from './bootstrap-flows.ts';

const AUTOUPDATE = 'apf.kubernetes.io/autoupdate-spec';

/** Makes the flow schemas and priority levels of every cluster, and brings those up to date that nobody has taken over. */
export async function applyBootstrapFlows(client: Client): Promise<void> {
  await Promise.all([
    ...bootstrapLevels().map(each => apply(client, PriorityLevelConfiguration, each)),
    ...bootstrapFlows().map(each => apply(client, FlowSchema, each)),
  ]);
}

type WithSpec = KubeObject & { spec: unknown };

async function apply<T extends WithSpec>(client: Client, kind: Kind<T>, wanted: Draft<T> & { metadata: { name: string } }): Promise<void> {
  const present = await client.get(kind, { name: wanted.metadata.name });
  const plan = planFlow(wanted, present);
  try {
    if (plan === 'create') await client.create(kind, wanted);
    else if (plan === 'update') await client.update(kind, { ...present!, spec: wanted.spec });
  } catch (error) {
    if (!isUmiakError(error, 'AlreadyExists')) throw error;
  }
}

/** What is to be done so that the object is as wanted; the annotation `apf.kubernetes.io/autoupdate-spec: "false"` makes a suggested one its owner's. */
export function planFlow(
  wanted: { metadata: { name: string }; spec: unknown },
  present: { metadata: { annotations?: Record<string, string> | undefined }; spec: unknown } | undefined,
): 'create' | 'update' | undefined {
  if (!present) return 'create';
  if (!MANDATORY.has(wanted.metadata.name) && present.metadata.annotations?.[AUTOUPDATE] !== 'true') return undefined;
  return jsonEqual(wanted.spec, present.spec) ? undefined : 'update';
}
