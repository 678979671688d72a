import { UmiakError } from '#base/errors.ts';
import type { Container, Sandbox } from '#engine/engine.ts';
import type { CriContext } from './context.ts';

type Scoped = Pick<CriContext, 'engine' | 'scope'>;

/** The sandboxes that a client of `cri.sock` sees. */
export function visibleSandboxes({ engine, scope }: Scoped): Sandbox[] {
  return engine.sandboxes(scope === 'all' ? {} : { owner: 'cri' });
}

/** The containers that a client of `cri.sock` sees. */
export function visibleContainers({ engine, scope }: Scoped, filter: { sandboxId?: string } = {}): Container[] {
  return engine.containers(scope === 'all' ? filter : { owner: 'cri', ...filter });
}

/** By id, or by the beginning of an id that no other has; undefined when there is none. @throws `BadRequest` when several begin so */
export function findSandbox(context: Scoped, id: string): Sandbox | undefined {
  const exact = context.engine.sandbox(id);
  if (exact) return context.scope === 'all' || exact.config.owner === 'cri' ? exact : undefined;
  return theOne('sandbox', id, () => visibleSandboxes(context));
}

/** By id, or by the beginning of an id that no other has; undefined when there is none. @throws `BadRequest` when several begin so */
export function findContainer(context: Scoped, id: string): Container | undefined {
  const exact = context.engine.container(id);
  if (exact) return context.scope === 'all' || exact.owner === 'cri' ? exact : undefined;
  return theOne('container', id, () => visibleContainers(context));
}

/** @throws `NotFound` */
export function needSandbox(context: Scoped, id: string | undefined): Sandbox {
  const found = findSandbox(context, id ?? '');
  if (!found) throw notFound('sandbox', id ?? '');
  return found;
}

/** @throws `NotFound` */
export function needContainer(context: Scoped, id: string | undefined): Container {
  const found = findContainer(context, id ?? '');
  if (!found) throw notFound('container', id ?? '');
  return found;
}

const WHOLE_ID_CHARACTERS = 64;

function theOne<T extends { id: string }>(kind: string, id: string, all: () => T[]): T | undefined {
  if (id === '' || id.length >= WHOLE_ID_CHARACTERS) return undefined;
  const found = all().filter(each => each.id.startsWith(id));
  if (found.length > 1)
    throw new UmiakError('BadRequest', `several ${kind === 'sandbox' ? 'sandboxes' : 'containers'} have ids that begin with ${id}`);
  return found[0];
}

function notFound(kind: string, id: string): UmiakError {
  return new UmiakError('NotFound', `there is no ${kind} ${JSON.stringify(id.slice(0, 128))}`, { details: { kind, name: id } });
}
