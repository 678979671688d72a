import type { Reconciling } from '#client/index.ts';
import type { Key, Kind } from '#kinds/kind.ts';
import { builtinKinds } from '#kinds/registry.ts';
import type { Scale } from '#kinds/types.gen.ts';
import type { CustomKinds } from './custom-kinds.ts';

/** What a reference names, where it is served: of a built-in kind any version, of a custom kind the one that its definition serves. */
export function findReferredKind(apiVersion: string, name: string, customKinds: CustomKinds | undefined): Kind | undefined {
  const group = apiVersion.includes('/') ? apiVersion.slice(0, apiVersion.indexOf('/')) : '';
  const isIt = ({ resource, storage }: Kind) => resource.kind === name && resource.group === group && !storage;
  return builtinKinds.find(isIt) ?? customKinds?.find(apiVersion, name);
}

/** The `scale` subresource of an object; undefined when it has none or is not there. */
export function getScale(client: Reconciling['client'], kind: Kind, key: Key): Promise<Scale | undefined> {
  return client.getSubresource<Scale>(kind, key, 'scale');
}
