import { UmiakError } from '#base/errors.ts';
import type { DockerContainer, DockerData } from '../rooms.ts';

/** `db:mysql` of `--link`: whom, and as what. Pure. */
export function parseLink(link: string): { target: string; alias: string } {
  const [target = '', alias] = link.split(':');
  const name = target.replace(/^\//, '');
  return { target: name, alias: alias?.replace(/^\/?(.*\/)?/, '') || name };
}

/** Links that docker keeps beside names: those of containers on the default network. Pure. */
function keptLinks({ hostConfig: { NetworkMode, Links } }: DockerData): string[] {
  return NetworkMode === 'bridge' ? (Links ?? []) : [];
}

/** Whom `app/db` means: the link `db` of `app`. @throws NotFound */
export function findLinked<T extends Pick<DockerContainer, 'data'>>(
  reference: string,
  find: (name: string) => T,
): { holder: T; link: string } {
  const [name = '', alias, ...more] = reference.replace(/^\//, '').split('/');
  const holder = find(name);
  const link = more.length === 0 ? keptLinks(holder.data).find(each => parseLink(each).alias === alias) : undefined;
  if (link === undefined) throw new UmiakError('NotFound', `No such container: ${reference.slice(0, 256)}`);
  return { holder, link };
}

/** `/app/db` by the name of the container that it leads to. Pure. */
export function namesByLinks(containers: readonly Pick<DockerContainer, 'name' | 'data'>[]): ReadonlyMap<string, string[]> {
  const names = new Map<string, string[]>();
  for (const { name, data } of containers)
    for (const link of keptLinks(data)) {
      const { target, alias } = parseLink(link);
      names.set(target, [...(names.get(target) ?? []), `/${name}/${alias}`]);
    }
  return names;
}

/** `HostConfig.Links` as inspect tells them. Pure. */
export function toInspectLinks(data: DockerData): string[] | null {
  const { Links } = data.hostConfig;
  if (keptLinks(data).length === 0) return Links;
  return keptLinks(data).map(link => {
    const { target, alias } = parseLink(link);
    return `/${target}:/${data.name}/${alias}`;
  });
}
