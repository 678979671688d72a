import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UmiakError } from '#base/errors.ts';
import type { ImageRecord } from '#images/index.ts';
import { parseFilters } from '../filters.ts';
import { parsePlatformQuery, requirePlatform } from './image-platform.ts';
import { findHere, mergeFound, parseLimit, parseSearchTerm } from './image-search.ts';
import { sharedSizes } from './image-usage.ts';
import { checkImageRemoval } from './plan-image-removal.ts';
import { toPullError } from './pull-refusals.ts';

const id = `sha256:${'ab'.repeat(32)}` as const;
const one = ['docker.io/library/app:1'];
const two = ['docker.io/library/app:1', 'localhost:5000/app:1'];
const stopped = { id: '1'.repeat(64), isRunning: false };
const running = { id: '2'.repeat(64), isRunning: true };

const removals: [
  what: string,
  reference: string,
  repoTags: string[],
  users: (typeof stopped)[],
  force: boolean,
  says: RegExp | undefined,
][] = [
  ['a name', 'app:1', one, [], false, undefined],
  [
    'the last name of what a container has',
    'app:1',
    one,
    [stopped],
    false,
    /^conflict: unable to remove repository reference "app:1" \(must force\) - container 1{12} is using its referenced image (ab){6}$/,
  ],
  ['one of two names', 'app:1', two, [running], false, undefined],
  ['the last name, by force', 'app:1', one, [running], true, undefined],
  ['an id', 'abab', one, [], false, undefined],
  [
    'an id with names in two repositories',
    id,
    two,
    [],
    false,
    /unable to delete (ab){6} \(must be forced\) - image is referenced in multiple repositories/,
  ],
  ['the same by force', id, two, [], true, undefined],
  ['an id that runs', id, one, [stopped, running], true, /\(cannot be forced\) - image is being used by running container 2{12}/],
  ['an id that a stopped container has', id, one, [stopped], false, /\(must be forced\) - image is being used by stopped container 1{12}/],
];
for (const [what, reference, repoTags, users, force, says] of removals)
  test(`docker rmi of ${what}${force ? ', forced' : ''}`, () => {
    const check = () => checkImageRemoval({ reference, image: { id, repoTags, repoDigests: [] }, users, force });
    if (says)
      assert.throws(check, error => (error as Error).message.match(says) !== null && (error as { reason?: string }).reason === 'Conflict');
    else check();
  });

test('platforms of a query', () => {
  assert.deepEqual(parsePlatformQuery('{"os":"linux","architecture":"arm64","variant":"v8"}'), {
    os: 'linux',
    architecture: 'arm64',
    variant: 'v8',
  });
  assert.deepEqual(parsePlatformQuery('linux/amd64'), { os: 'linux', architecture: 'amd64' });
  assert.equal(parsePlatformQuery(''), undefined);
  assert.throws(() => parsePlatformQuery('{"os":5}'), /invalid platform/);
  assert.throws(() => parsePlatformQuery('{'), /invalid platform/);
  const record = { config: { os: 'linux', architecture: 'amd64' } } as Parameters<typeof requirePlatform>[0];
  requirePlatform(record, { os: 'linux', architecture: 'amd64' }, 'app');
  requirePlatform(record, undefined, 'app');
  assert.throws(
    () => requirePlatform(record, { os: 'linux', architecture: 'arm64', variant: 'v8' }, 'app'),
    /image with reference app was found but its platform \(\S+\) does not match the specified platform \(linux\/arm64\/v8\)/,
  );
});

test('what images share of their layers', () => {
  const blob = (letter: string, size: number) => ({ digest: `sha256:${letter}` as const, size });
  const sizes = sharedSizes([
    { id: 'sha256:1', blobs: [blob('a', 100), blob('b', 10), blob('b', 10)] },
    { id: 'sha256:2', blobs: [blob('a', 100), blob('c', 1)] },
  ]);
  assert.deepEqual([...sizes.values()], [100, 100]);
});

test('search: where, how many, what passes', () => {
  assert.deepEqual(parseSearchTerm('redis'), { registry: 'docker.io', term: 'redis' });
  assert.deepEqual(parseSearchTerm('team/redis'), { registry: 'docker.io', term: 'team/redis' });
  assert.deepEqual(parseSearchTerm('localhost:5000/team/redis'), { registry: 'localhost:5000', term: 'team/redis' });
  assert.equal(parseLimit(null), 25);
  assert.throws(() => parseLimit('101'), /limit 101 is outside the range of \[1, 100\]/);
  assert.throws(() => parseLimit('x'), /invalid limit/);
  const records = [
    { repoTags: ['docker.io/library/redis:7', 'docker.io/library/redis:8', 'localhost:5000/redis:1'] },
  ] as unknown as ImageRecord[];
  const here = findHere(records, { registry: 'docker.io', term: 'red' });
  assert.deepEqual(
    here.map(({ name }) => name),
    ['redis'],
  );
  const remote = [
    { name: 'redis', description: 'the one', stars: 9, isOfficial: true, isAutomated: false },
    { name: 'me/redis', description: '', stars: 1, isOfficial: false, isAutomated: false },
  ];
  const names = (filters: object, limit = 25) =>
    mergeFound(
      remote,
      [...here, { ...here[0]!, name: 'mine' }],
      parseFilters(JSON.stringify(filters), ['is-official', 'stars']),
      limit,
    ).map(({ name }) => name);
  assert.deepEqual(names({}), ['redis', 'me/redis', 'mine']);
  assert.deepEqual(names({}, 1), ['redis']);
  assert.deepEqual(names({ 'is-official': ['true'] }), ['redis']);
  assert.deepEqual(names({ stars: ['2'] }), ['redis']);
  assert.throws(() => names({ stars: ['many'] }), /invalid filter 'stars=many'/);
});

test('what a registry refuses, in docker’s words', () => {
  const refused = (said: string) =>
    toPullError(new UmiakError('NotFound', `the manifest x: the registry answered 404: ${said}`), 'me/app:1');
  const cases: [said: string, words: RegExp][] = [
    ['DENIED: no', /^pull access denied for me\/app, repository does not exist or may require 'docker login': denied: no$/],
    ['UNAUTHORIZED', /^pull access denied for me\/app, /],
    ['NAME_UNKNOWN: never heard', /^repository me\/app not found: name unknown: never heard$/],
    ['MANIFEST_UNKNOWN', /^manifest for me\/app:1 not found: manifest unknown$/],
    ['TOOMANYREQUESTS', /the registry answered 404: TOOMANYREQUESTS/],
  ];
  for (const [said, words] of cases) assert.match((refused(said) as Error).message, words);
});
