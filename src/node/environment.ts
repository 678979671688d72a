import { UmiakError } from '#base/index.ts';
import type { ConfigMap } from '#kinds/config-map.ts';
import type { Pod } from '#kinds/pod.ts';
import type { Secret } from '#kinds/secret.ts';
import type { Service } from '#kinds/service.ts';
import { fieldValue, type NodeFacts, resourceValue } from './downward.ts';
import type { ContainerSpec } from './parts.ts';

/** The objects that a container's environment refers to, by name; undefined stands for one that does not exist. */
export interface EnvironmentSources {
  configMaps: ReadonlyMap<string, ConfigMap | undefined>;
  secrets: ReadonlyMap<string, Secret | undefined>;
}

/** The names of the ConfigMaps and Secrets that a container's environment needs. */
export function environmentReferences({ env = [], envFrom = [] }: ContainerSpec): { configMaps: string[]; secrets: string[] } {
  const configMaps = [
    ...env.map(({ valueFrom }) => valueFrom?.configMapKeyRef?.name),
    ...envFrom.map(({ configMapRef }) => configMapRef?.name),
  ];
  const secrets = [...env.map(({ valueFrom }) => valueFrom?.secretKeyRef?.name), ...envFrom.map(({ secretRef }) => secretRef?.name)];
  const present = (names: (string | undefined)[]) => [...new Set(names.filter((name): name is string => name !== undefined))];
  return { configMaps: present(configMaps), secrets: present(secrets) };
}

/**
 * The environment of a container, in the kubelet's order: Services, `envFrom`, `env`; what comes later wins, and may refer to what came
 * before as `$(NAME)`. Pure.
 * @throws `NotFound` naming the object or key that is missing
 */
export function resolveEnvironment(
  pod: Pod,
  container: ContainerSpec,
  { sources, services, facts }: { sources: EnvironmentSources; services: readonly Service[]; facts: NodeFacts },
): Map<string, string> {
  const result = new Map<string, string>(serviceVariables(pod, services));
  for (const { prefix = '', configMapRef, secretRef } of container.envFrom ?? []) {
    if (configMapRef) {
      const object = demand('configmap', configMapRef.name ?? '', sources.configMaps, configMapRef.optional);
      for (const [key, value] of Object.entries(object?.data ?? {})) result.set(prefix + key, value);
    }
    if (secretRef) {
      const object = demand('secret', secretRef.name ?? '', sources.secrets, secretRef.optional);
      for (const [key, value] of Object.entries(object?.data ?? {})) result.set(prefix + key, fromBase64(value));
    }
  }
  for (const { name, value, valueFrom } of container.env ?? []) {
    const resolved = valueFrom ? referenced(pod, container, valueFrom, sources, facts) : expand(value ?? '', key => result.get(key));
    if (resolved !== undefined) result.set(name, resolved);
  }
  return result;
}

type ValueFrom = NonNullable<NonNullable<ContainerSpec['env']>[number]['valueFrom']>;

function referenced(
  pod: Pod,
  container: ContainerSpec,
  from: ValueFrom,
  sources: EnvironmentSources,
  facts: NodeFacts,
): string | undefined {
  if (from.fieldRef) return fieldValue(pod, from.fieldRef.fieldPath, facts);
  if (from.resourceFieldRef) return resourceValue(pod, from.resourceFieldRef, container, facts);
  if (from.configMapKeyRef) {
    const { name = '', key, optional } = from.configMapKeyRef;
    const value = demand('configmap', name, sources.configMaps, optional)?.data?.[key];
    if (value === undefined && !optional) throw missingKey('ConfigMap', pod, name, key);
    return value;
  }
  if (from.secretKeyRef) {
    const { name = '', key, optional } = from.secretKeyRef;
    const value = demand('secret', name, sources.secrets, optional)?.data?.[key];
    if (value === undefined && !optional) throw missingKey('Secret', pod, name, key);
    return value === undefined ? undefined : fromBase64(value);
  }
  throw new UmiakError('NotImplemented', `an environment value from ${Object.keys(from)[0] ?? 'nothing'} is not there yet`);
}

function demand<T>(what: string, name: string, objects: ReadonlyMap<string, T | undefined>, optional: boolean | undefined): T | undefined {
  const object = objects.get(name);
  if (object === undefined && !optional)
    throw new UmiakError('NotFound', `${what} "${name}" not found`, { details: { kind: `${what}s`, name } });
  return object;
}

function missingKey(kind: string, { metadata }: Pod, name: string, key: string): UmiakError {
  return new UmiakError('NotFound', `couldn't find key ${key} in ${kind} ${metadata.namespace}/${name}`, { details: { kind, name } });
}

/** `$(NAME)` becomes the value that `lookup` gives, `$$` a dollar; names unknown to it stay as they are. */
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  return text.replaceAll(/\$\$|\$\(([^)]*)\)/g, (whole, name: string | undefined) => (name === undefined ? '$' : (lookup(name) ?? whole)));
}

/** `{NAME}_SERVICE_HOST` and its kin for the namespace's Services, and always for `kubernetes`. */
function serviceVariables({ metadata, spec }: Pod, services: readonly Service[]): [string, string][] {
  const wanted = services.filter(
    ({ metadata: each, spec: { clusterIP } }) =>
      clusterIP &&
      clusterIP !== 'None' &&
      ((each.namespace === 'default' && each.name === 'kubernetes') ||
        (spec.enableServiceLinks !== false && each.namespace === metadata.namespace)),
  );
  return wanted.flatMap(({ metadata: { name }, spec: { clusterIP = '', ports = [] } }): [string, string][] => {
    const base = name.toUpperCase().replaceAll('-', '_');
    const first = ports[0];
    if (!first) return [];
    const url = ({ protocol = 'TCP', port }: typeof first) => `${protocol.toLowerCase()}://${clusterIP}:${port}`;
    return [
      [`${base}_SERVICE_HOST`, clusterIP],
      [`${base}_SERVICE_PORT`, String(first.port)],
      ...ports.flatMap(({ name: port, port: number }): [string, string][] =>
        port ? [[`${base}_SERVICE_PORT_${port.toUpperCase().replaceAll('-', '_')}`, String(number)]] : [],
      ),
      [`${base}_PORT`, url(first)],
      ...ports.flatMap((port): [string, string][] => {
        const prefix = `${base}_PORT_${port.port}_${(port.protocol ?? 'TCP').toUpperCase()}`;
        return [
          [prefix, url(port)],
          [`${prefix}_PROTO`, (port.protocol ?? 'TCP').toLowerCase()],
          [`${prefix}_PORT`, String(port.port)],
          [`${prefix}_ADDR`, clusterIP],
        ];
      }),
    ];
  });
}

function fromBase64(value: string): string {
  return Buffer.from(value, 'base64').toString();
}
