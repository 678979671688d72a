import type { Clock } from '#base/clock.ts';
import { toTime } from '#base/clock.ts';
import type { KubeObject } from '#kinds/kind.ts';
import { checkGvk } from '#kinds/schema.ts';
import type { Binding, Pod } from '#kinds/types.gen.ts';
import { targetOf } from '../answer.ts';
import { fieldValidationOf, readBodyValue } from '../decode.ts';
import type { Context, Outcome, ResourceRoute } from '../request.ts';
import type { Stored } from '../resources.ts';
import { badRequest, conflict } from '../status.ts';
import type { AdmittedAs } from '../write.ts';
import type { Writer } from '../writer.ts';

type Handler = (context: Context<ResourceRoute>) => Promise<Outcome>;

const BINDING = { group: '', version: 'v1', kind: 'Binding' };

/** Admission sees what was posted to the subresource. */
export function inserted(subresource: string, kind: AdmittedAs['kind'], object: object): AdmittedAs {
  return { operation: 'CREATE', subresource, kind, show: () => object as KubeObject };
}

/** `pods/x/binding` and `bindings`: gives a pod to a node, once. */
export function bindingHandler(pods: Stored, writer: Writer, clock: Clock): Handler {
  return async context => {
    const { value, duplicates } = await readBodyValue(context);
    const { object: binding } = checkGvk<Binding>(BINDING, value, {
      fieldValidation: fieldValidationOf(context.query),
      strictErrors: duplicates,
    });
    const name = context.route.name || binding.metadata?.name;
    if (!name) throw badRequest('a binding needs the name of a pod');
    const node = binding.target?.name;
    if (!node) throw badRequest('target.name: Required value');
    if (binding.target.kind && binding.target.kind !== 'Node')
      throw badRequest(`target.kind: Unsupported value: "${binding.target.kind}": supported values: "Node"`);
    const target = { ...targetOf(context, pods), name, subresource: 'binding', admittedAs: inserted('binding', BINDING, binding) };
    await writer.update(target, {
      change: current => {
        const pod = current as Pod;
        const refuse = (why: string) => conflict({ group: '', plural: 'pods/binding', kind: 'Binding' }, name, why);
        if (binding.metadata?.uid && binding.metadata.uid !== pod.metadata.uid)
          throw refuse(`Precondition failed: UID in precondition: ${binding.metadata.uid}, UID in object meta: ${pod.metadata.uid}`);
        if (pod.metadata.deletionTimestamp) throw refuse(`pod ${name} is being deleted, cannot be assigned to a host`);
        if (pod.spec.nodeName) throw refuse(`pod ${name} is already assigned to node "${pod.spec.nodeName}"`);
        if (pod.spec.schedulingGates?.length) throw refuse(`pod ${name} has non-empty .spec.schedulingGates`);
        bind(pod, node, binding, toTime(clock.now()));
        pod.metadata.resourceVersion = '';
        return { object: pod, missing: [] };
      },
    });
    return success(201);
  };
}

function bind(pod: Pod, node: string, binding: Binding, now: string): void {
  pod.spec.nodeName = node;
  if (binding.metadata?.annotations) pod.metadata.annotations = { ...pod.metadata.annotations, ...binding.metadata.annotations };
  if (binding.metadata?.labels) pod.metadata.labels = { ...pod.metadata.labels, ...binding.metadata.labels };
  const conditions = (pod.status?.conditions ?? []).filter(({ type }) => type !== 'PodScheduled');
  // The room that was being made has been taken.
  const { nominatedNodeName: _made, ...status } = pod.status ?? {};
  pod.status = { ...status, conditions: [...conditions, { type: 'PodScheduled', status: 'True', lastTransitionTime: now }] };
}

/** `Success`, with its code. */
export function success(code: number): Outcome {
  return { type: 'value', status: code, value: { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code } };
}
