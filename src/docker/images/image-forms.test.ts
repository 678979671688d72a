import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UmiakError } from '#base/errors.ts';
import type { ImageRecord } from '#images/index.ts';
import { splitVersion } from '../docker-api.ts';
import { toDockerError } from '../docker-error.ts';
import { parseFilters, toMoment } from '../filters.ts';
import { LIST_FILTERS, planImageFilter } from './image-filters.ts';
import { toImageHistory, toImageInspect, toImageSummary } from './image-forms.ts';
import { inUnits, PullProgress } from './pull-progress.ts';
import { parseRegistryAuth } from './registry-auth-header.ts';

const digest = (letter: string) => `sha256:${letter.repeat(64)}` as const;

function record(change: Partial<ImageRecord> = {}): ImageRecord {
  const descriptor = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: digest('b'), size: 7 };
  return {
    id: digest('a'),
    manifestDigest: digest('b'),
    target: descriptor,
    repoTags: ['docker.io/library/redis:7', 'localhost:5000/team/redis:7'],
    repoDigests: [`docker.io/library/redis@${digest('b')}`],
    sizeBytes: 300,
    config: {
      created: '2026-01-02T03:04:05Z',
      architecture: 'amd64',
      os: 'linux',
      config: { Labels: { tier: 'cache' } },
      rootfs: { type: 'layers', diff_ids: [digest('c'), digest('d')] },
      history: [
        { created_by: 'ADD a', created: '2026-01-01T00:00:00Z' },
        { created_by: 'ENV x', empty_layer: true },
        { created_by: 'RUN b' },
      ],
    },
    blobs: [],
    layers: ['/up', '/low'],
    taggedAtMs: 0,
    isInUse: false,
    isPinned: false,
    ...change,
  };
}

test('versions in paths', () => {
  assert.deepEqual(splitVersion('/v1.41/images/json'), { path: '/images/json', apiMinor: 41 });
  assert.deepEqual(splitVersion('/images/json'), { path: '/images/json', apiMinor: 51 });
  assert.deepEqual(splitVersion('/v1.24'), { path: '/', apiMinor: 24 });
  assert.throws(() => splitVersion('/v1.52/_ping'), /client version 1.52 is too new. Maximum supported API version is 1.51/);
  assert.deepEqual(splitVersion('/v1.22/images/json'), { path: '/images/json', apiMinor: 24 });
  assert.throws(() => splitVersion('/v1.21/_ping'), /too old. Minimum supported API version is 1.24/);
  assert.throws(() => splitVersion('/v2.0/_ping'), /too new/);
});

const filterCases: [filters: object, passes: boolean][] = [
  [{ dangling: ['true'] }, false],
  [{ dangling: { false: true } }, true],
  [{ label: ['tier'] }, true],
  [{ label: ['tier=cache'] }, true],
  [{ label: ['tier=cache', 'other'] }, false],
  [{ reference: ['redis'] }, true],
  [{ reference: ['redis:7'] }, true],
  [{ reference: ['r*:7'] }, true],
  [{ reference: ['postgres', 'localhost:5000/*/redis'] }, true],
  [{ reference: ['redis:8'] }, false],
  [{ before: ['later'] }, true],
  [{ since: ['later'] }, false],
  [{ until: ['24h'] }, true],
  [{ until: ['2025-01-01'] }, false],
  [{ dangling: ['false'], label: ['tier=web'] }, false],
];
for (const [filters, passes] of filterCases)
  test(`the filter ${JSON.stringify(filters)} ${passes ? 'takes' : 'leaves'} the image`, () => {
    const parsed = parseFilters(JSON.stringify(filters), LIST_FILTERS);
    const plan = planImageFilter(parsed, { nowMs: Date.parse('2026-06-01'), createdOf: () => Date.parse('2026-02-01') });
    assert.equal(plan(record()), passes);
  });

for (const bad of ['{', '[]', '1', '{"colour":["red"]}', '{"label":"x"}', '{"label":[1]}'])
  test(`the filters ${bad} are refused`, () => assert.throws(() => parseFilters(bad, LIST_FILTERS), { reason: 'BadRequest' }));

test('moments', () => {
  assert.equal(toMoment('1h30m', 10_000_000), 10_000_000 - 5_400_000);
  assert.equal(toMoment('12', 0), 12_000);
  assert.throws(() => toMoment('soon', 0), { reason: 'BadRequest' });
});

test('an image in docker’s forms, old and new', () => {
  const summary = toImageSummary(record(), 51);
  assert.deepEqual(summary.RepoTags, ['redis:7', 'localhost:5000/team/redis:7']);
  assert.equal(summary.Created, Date.parse('2026-01-02T03:04:05Z') / 1000);
  assert.equal('VirtualSize' in summary, false);
  assert.deepEqual(toImageSummary(record({ repoTags: [], repoDigests: [] }), 40).RepoTags, ['<none>:<none>']);
  assert.deepEqual(toImageSummary(record({ repoTags: [] }), 43).RepoTags, []);
  assert.equal('ContainerConfig' in toImageInspect(record(), 45), false);
  assert.deepEqual(toImageInspect(record(), 44).ContainerConfig, {});
  const configOf = (apiMinor: number) => toImageInspect(record(), apiMinor).Config as Record<string, unknown>;
  assert.deepEqual(configOf(50).Labels, { tier: 'cache' });
  assert.deepEqual([configOf(50).OnBuild, configOf(49).OnBuild, configOf(49).AttachStdin], [null, null, false]);
  assert.equal('AttachStdin' in configOf(50), false);
  const { Manifests, Containers, SharedSize } = toImageSummary(record(), 51, { containers: 2, sharedSize: 7, hasManifests: true });
  assert.deepEqual([(Manifests as unknown[]).length, Containers, SharedSize], [1, 2, 7]);
  assert.deepEqual(toImageInspect(record(), 51).GraphDriver, { Name: 'overlay2', Data: { UpperDir: '/up', LowerDir: '/low' } });
  const blobs = [100, 200].map(size => ({ digest: digest('e'), size }));
  assert.deepEqual(
    toImageHistory(record({ blobs })).map(({ Id, CreatedBy, Size }) => [Id, CreatedBy, Size]),
    [
      [digest('a'), 'RUN b', 200],
      ['<missing>', 'ENV x', 0],
      ['<missing>', 'ADD a', 100],
    ],
  );
});

test('a pull’s events as docker’s lines', () => {
  const progress = new PullProgress();
  const statuses = [
    { status: 'resolved' as const, digest: digest('b'), layers: [{ digest: digest('c'), sizeBytes: 1000 }] },
    { status: 'downloading' as const, digest: digest('a'), currentBytes: 1, totalBytes: 2 },
    { status: 'downloading' as const, digest: digest('c'), currentBytes: 500, totalBytes: 1000 },
    { status: 'downloaded' as const, digest: digest('c') },
    { status: 'unpacking' as const, digest: digest('c') },
    { status: 'unpacked' as const, digest: digest('c') },
  ].flatMap(event => progress.lines(event));
  assert.deepEqual(
    statuses.map(({ status }) => status),
    ['Pulling fs layer', 'Downloading', 'Download complete', 'Extracting', 'Pull complete'],
  );
  assert.match(statuses[1]?.progress ?? '', /^\[={25}> {24}\] {2}500B\/1kB$/);
  assert.equal(inUnits(1_234_567), '1.235MB');
});

test('credentials', () => {
  const header = (content: unknown) => Buffer.from(JSON.stringify(content)).toString('base64url');
  assert.deepEqual(parseRegistryAuth(header({ username: 'u', password: 'p' })), { username: 'u', password: 'p' });
  assert.deepEqual(parseRegistryAuth(header({ auth: Buffer.from('u:p:q').toString('base64') })), { username: 'u', password: 'p:q' });
  assert.deepEqual(parseRegistryAuth(header({ identitytoken: 't' })), { identityToken: 't' });
  assert.equal(parseRegistryAuth(header({})), undefined);
  assert.equal(parseRegistryAuth(undefined), undefined);
  for (const bad of ['%%%', header(1), 'eyJ1'])
    assert.throws(
      () => parseRegistryAuth(bad),
      error => error instanceof UmiakError && !error.message.includes(bad),
    );
});

test('errors', () => {
  assert.deepEqual(toDockerError(new UmiakError('NotFound', 'no such image: x', { hint: 'Pull it.' })), {
    status: 404,
    message: 'No such image: x',
  });
  assert.deepEqual(toDockerError(new TypeError('x')), { status: 500, message: 'x' });
});
