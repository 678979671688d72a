import { type Field, schemaData } from '#kinds/schema-data.ts';
import type { Random } from './random.ts';
import { anyValue, expression, hostileText, TEXTS, word } from './values.ts';

/** What a request is for: a built-in kind, or one of ours with no type in the schema. */
export interface Goal {
  group: string;
  version: string;
  kind: string;
  plural: string;
  namespaced: boolean;
  subresources: { name: string; verbs: readonly string[]; group?: string; version?: string; kind: string }[];
  verbs: readonly string[];
  /** Full name of its type. */
  type?: string;
  fields: readonly string[];
}

const CALM = ['a', 'b', 'x', 'name', 'c', 'Always', 'In', 'Exists', 'TCP', '10.0.0.1', 'Pod', 'v1', 'default', '/path', 'aGk='];
const MOST_DEPTH = 7;

/** An object that is nearly right by the schema, so that what comes after the first check is reached too; then some of it is spoiled. */
export function nearlyRight(random: Random, { group, version, kind, type }: Goal, name: string, share: number): Record<string, unknown> {
  const object = (type ? typed(random, type, 0, share) : { spec: anyValue(random, 3) }) as Record<string, unknown>;
  Object.assign(object, { apiVersion: group ? `${group}/${version}` : version, kind });
  object.metadata = { name, ...(random.chance(0.2) && { labels: { a: 'b' } }), ...(random.chance(0.1) && metadata(random)) };
  if (kind === 'CustomResourceDefinition') agreeNames(random, object, name);
  if (random.chance(0.3)) spoil(random, object, 1 + random.below(3));
  return object;
}

/** Of nobody's kind. */
export function wild(random: Random, { group, version, kind }: Goal): unknown {
  return {
    ...(random.chance(0.8) && { apiVersion: group ? `${group}/${version}` : version, kind }),
    ...(random.chance(0.1) && { kind: anyValue(random, 1), apiVersion: anyValue(random, 1) }),
    metadata: random.chance(0.1)
      ? anyValue(random, 1)
      : { name: random.pick(['x', '', 'UPPER', 'a'.repeat(300), 5, null]), ...metadata(random) },
    ...Object.fromEntries(
      random.list(3, () => [random.pick(['spec', 'status', 'data', 'target', 'rules', 'roleRef', word(random)]), anyValue(random, 4)]),
    ),
  };
}

/** A value of the schema's type: mostly required fields, a share of the others. */
export function typed(random: Random, type: string, depth: number, share: number, field = ''): unknown {
  const { fields, required = [], ...scalar } = schemaData().types[type] ?? {};
  if (type.endsWith('.Quantity')) return random.pick(['1', '100m', '1Gi', '0', '-1', '1e3', '9223372036854775807', '1n']);
  if (!fields) return typedField(random, scalar as Field, depth, share, field);
  const chosen = Object.entries(fields).filter(([name]) =>
    required.includes(name) || name === 'spec' ? random.chance(0.97) && depth < 2 * MOST_DEPTH : depth < MOST_DEPTH && random.chance(share),
  );
  return Object.fromEntries(
    chosen.map(([name, one]) => [name, random.chance(0.003) ? anyValue(random, 2) : typedField(random, one, depth + 1, share, name)]),
  );
}

function typedField(random: Random, { type, format, ref, items, values }: Field, depth: number, share: number, name: string): unknown {
  if (ref) return typed(random, ref, depth, share, name);
  if (items) return random.list(2, () => typedField(random, items, depth, share, name));
  if (values)
    return Object.fromEntries(
      random.list(2, () => [
        random.pick(['a', 'b', 'cpu', 'memory', 'storage', 'hugepages-2Mi', word(random)]),
        typedField(random, values, depth, share, name),
      ]),
    );
  if (format === 'date-time')
    return random.pick(['2026-01-01T00:00:00Z', '0001-01-01T00:00:00Z', '9999-12-31T23:59:59Z', '2026-01-01T00:00:00.123456Z']);
  if (type === 'boolean') return random.chance(0.5);
  if (type === 'integer' || type === 'number') return random.pick([0, 1, 2, 3, 80, 8080, -1, 70_000, 2147483647]);
  if (type === 'int-or-string') return random.pick<unknown>([1, 80, '25%', 'http', '100m', '1Gi', '', 'x y', '-1', '200%']);
  if (format === 'byte') return random.pick(TEXTS[name] ?? ['aGk=', '', 'LS0tLS1CRUdJTg==']);
  if (type === 'object') return random.chance(0.5) ? {} : anyValue(random, 2);
  const texts = TEXTS[name];
  if (texts && random.chance(0.8)) return texts.length > 0 ? random.pick(texts) : expression(random);
  return random.chance(0.1) ? hostileText(random) : random.pick(CALM);
}

function metadata(random: Random): object {
  const some = (share: number, name: string, value: () => unknown) => random.chance(share) && { [name]: value() };
  return {
    ...some(0.3, 'namespace', () => random.pick(['default', 'other', 5, ''])),
    ...some(0.3, 'labels', () => anyValue(random, 2)),
    ...some(0.2, 'annotations', () => anyValue(random, 2)),
    ...some(0.2, 'ownerReferences', () =>
      random.pick([anyValue(random, 2), [{ apiVersion: 'v1', kind: 'Pod', name: 'x', uid: hostileText(random) }]]),
    ),
    ...some(0.2, 'finalizers', () => random.pick([anyValue(random, 2), ['a/b', hostileText(random)]])),
    ...some(0.2, 'resourceVersion', () => random.pick(['1', 'x', 5, '999999999999'])),
    ...some(0.2, 'managedFields', () =>
      random.pick([anyValue(random, 3), [], [{}], [{ manager: 'm', operation: 'Apply', fieldsV1: anyValue(random, 3) }]]),
    ),
    ...some(0.2, 'uid', () => hostileText(random)),
    ...some(0.2, 'deletionTimestamp', () => '2026-01-01T00:00:00Z'),
    ...some(0.2, 'generateName', () => random.pick(['g-', 'G_', 'g'.repeat(400), hostileText(random)])),
  };
}

/** Definitions are looked at no further when their names don't fit each other. */
function agreeNames(random: Random, object: Record<string, unknown>, name: string): void {
  const spec = object.spec as Record<string, unknown> | undefined;
  if (typeof spec !== 'object' || spec === null) return;
  const [plural = ''] = name.split('.');
  object.metadata = { name: `${plural}.example.com` };
  Object.assign(spec, { group: 'example.com', scope: 'Namespaced', names: { plural, kind: `T${plural}` } });
  const schema = random.chance(0.5)
    ? typed(random, 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps', 1, 0.12)
    : { type: 'object', properties: { spec: { type: 'object', 'x-kubernetes-validations': [{ rule: expression(random) }] } } };
  if (random.chance(0.8)) spec.versions = [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema } }];
}

/** Replaces, removes or adds something somewhere; mostly by what has the right type, since the wrong ones are refused at the door. */
function spoil(random: Random, root: unknown, times: number): void {
  for (let i = 0; i < times; i++) {
    let place: unknown = root;
    for (let depth = 0; depth < 12; depth++) {
      if (typeof place !== 'object' || place === null) break;
      const key = random.chance(0.05) ? word(random) : random.pick(Object.keys(place));
      const below: unknown =
        key !== undefined && Object.hasOwn(place, key) ? Object.getOwnPropertyDescriptor(place, key)?.value : undefined;
      if (typeof below === 'object' && below !== null && random.chance(0.85)) {
        place = below;
        continue;
      }
      spoilField(random, place, key ?? word(random), below);
      break;
    }
  }
}

function spoilField(random: Random, place: object, key: string, before: unknown): void {
  if (random.chance(0.3) && !Array.isArray(place)) delete (place as Record<string, unknown>)[key];
  else if (random.chance(0.3) && Array.isArray(place)) place.push(...structuredClone(place));
  else {
    const value = random.chance(0.8) ? likewise(random, before) : anyValue(random, 2);
    const at = Array.isArray(place) && !/^\d+$/.test(key) ? String(place.length) : key;
    Object.defineProperty(place, at, { value, writable: true, enumerable: true, configurable: true });
  }
}

/** Something else of the same type. */
function likewise(random: Random, before: unknown): unknown {
  if (typeof before === 'string') return hostileText(random);
  if (typeof before === 'number') return random.pick([0, -1, 65_536, 2 ** 31 - 1, -(2 ** 31)]);
  if (typeof before === 'boolean') return !before;
  if (Array.isArray(before)) return random.pick([[], [null], [...before, ...before]]);
  return typeof before === 'object' ? {} : anyValue(random, 2);
}
