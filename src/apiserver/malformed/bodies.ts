import { isObject } from '#base/json-object.ts';
import { toProtobuf } from '../protobuf/envelope.ts';
import { type Goal, nearlyRight, wild } from './objects.ts';
import type { Random } from './random.ts';
import { anyValue, hostileText, word } from './values.ts';

/** A request's body of that media type, or what pretends to be one. */
export function bodyOf(random: Random, type: string, goal: Goal, name: string): string | Buffer {
  if (random.chance(0.05)) return notEvenJson(random, goal);
  if (type.includes('json-patch')) return JSON.stringify(patchOperations(random));
  const isPatch = type.includes('patch');
  const object = random.chance(0.9) ? nearlyRight(random, goal, name, isPatch ? 0.1 : random.pick([0.1, 0.35])) : wild(random, goal);
  if (type.includes('protobuf')) return spoiledProtobuf(random, object);
  if (isPatch && random.chance(0.3)) addDirectives(random, object);
  return JSON.stringify(object);
}

const NO_JSON = [
  ...['', '{', 'null', '[]', '"x"', '0', '{"a":}', 'a: b: c', '\u0000', '{"kind":"Status"}', '- - -', '&a [*a]', '{"metadata":null}', '{}'],
  ...[
    '{"spec":null}',
    '{"metadata":{"name":null}}',
    '{"metadata":{"name":"x"},"metadata":5}',
    '{"__proto__":{"kind":"x"}}',
    '\ufeff{}',
    '{"a":1e999}',
  ],
  ...[
    'a: !!js/function "x"',
    '? [a]\n: b',
    '{"metadata":{"name":"x","labels":{"__proto__":"y"}}}',
    'a: .nan',
    '<<: {a: b}',
    '%YAML 1.1\n---\na: 1',
    '---\n---\n',
  ],
];

function notEvenJson(random: Random, goal: Goal): string | Buffer {
  const kind = `"apiVersion":"${goal.group ? `${goal.group}/` : ''}${goal.version}","kind":"${goal.kind}"`;
  switch (random.below(18)) {
    case 0:
      return '['.repeat(20_000);
    case 1:
      return `${'{"spec":'.repeat(3000)}1${'}'.repeat(3000)}`;
    case 2:
      return '- '.repeat(5000);
    case 3:
      return `a: &a [x,x,x,x]\n${Array.from({ length: 30 }, (_, i) => `b${i}: &b${i} [${'*a,'.repeat(9)}*a]`).join('\n')}`;
    case 4:
      return random.bytes(200);
    case 5:
      return Buffer.concat([Buffer.from('k8s\0'), random.bytes(60)]);
    case 6:
      return `{${kind}}`;
    case 7:
      return `{${kind},"metadata":${random.pick(['null', '{}', '[]', '{"name":"x"}'])},"spec":${random.pick(['null', '{}', '[]', '5', '[null]'])}}`;
    case 8:
      return `{${kind},"metadata":{"name":"x","annotations":{${Array.from({ length: 3000 }, (_, i) => `"k${i}":"v"`).join(',')}}}}`;
    default:
      return random.pick(NO_JSON);
  }
}

/** Right bytes, some of them turned, or cut off. */
function spoiledProtobuf(random: Random, object: unknown): Buffer {
  let bytes: Buffer;
  try {
    bytes = toProtobuf(object);
  } catch {
    return Buffer.concat([Buffer.from('k8s\0'), random.bytes(60)]); // it has no such form
  }
  if (random.chance(0.3)) return bytes;
  if (random.chance(0.2)) return bytes.subarray(0, random.below(bytes.length));
  for (let i = random.below(4); i >= 0; i--) bytes[4 + random.below(Math.max(1, bytes.length - 4))] = random.below(256);
  return bytes;
}

const POINTERS = [
  ...['/metadata/name', '/metadata', '/spec', '/spec/containers/0', '/spec/containers/-', '', '/', '/a~2', 'x', '/kind', '/__proto__/x'],
  ...['/constructor/prototype/x', '/metadata/resourceVersion', '/metadata/managedFields', '/metadata/managedFields/0/fieldsV1', '/data/a'],
  ...[
    '/spec/replicas',
    '/spec/template/spec',
    '/metadata/labels/__proto__',
    '/spec/99999999999',
    '/spec/-1',
    '/status',
    '/metadata/ownerReferences',
  ],
];

function patchOperations(random: Random): unknown {
  if (random.chance(0.02)) return Array.from({ length: 11_000 }, () => ({ op: 'test', path: '/kind', value: 'x' }));
  if (random.chance(0.02)) return Array.from({ length: 40 }, () => ({ op: 'copy', from: '', path: '/metadata/x' }));
  return random.list(4, () => ({
    op: random.pick(['add', 'remove', 'replace', 'move', 'copy', 'test', 'x', null]),
    path: random.pick<unknown>([...POINTERS, 5, null]),
    ...(random.chance(0.5) && { from: random.pick(POINTERS) }),
    ...(random.chance(0.8) && { value: anyValue(random, 2) }),
  }));
}

/** Strategic merge's own words, in places where they belong and where they don't. */
function addDirectives(random: Random, object: unknown): void {
  const directives = {
    $patch: random.pick(['replace', 'delete', 'merge', 'x', 5]),
    $retainKeys: anyValue(random, 1),
    [`$setElementOrder/${random.pick(['containers', 'ports', word(random)])}`]: anyValue(random, 2),
    [`$deleteFromPrimitiveList/${random.pick(['finalizers', word(random)])}`]: random.pick([anyValue(random, 1), [hostileText(random)]]),
  };
  if (!isObject(object)) return;
  const places = [object, object.spec, object.metadata, isObject(object.spec) ? object.spec.template : undefined].filter(isObject);
  const [name, value] = random.pick(Object.entries(directives));
  random.pick(places)[name] = value;
}
