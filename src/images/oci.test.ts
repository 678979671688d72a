import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isUmiakError } from '#base/errors.ts';
import { type Digest, digestOf } from './digest.ts';
import { checkIsImage, type Descriptor, isForeignLayer, mediaTypes, parseManifestOrIndex, parsePlatform, planPlatform } from './oci.ts';

const digest: Digest = digestOf('x');
const of = (mediaType: string): Descriptor => ({ mediaType, digest, size: 1 });

function manifest(config: string, layers: string[], more: object = {}) {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, config: of(config), layers: layers.map(of), ...more }));
  const parsed = parseManifestOrIndex(bytes, 'app:1');
  assert.equal(parsed.kind, 'manifest');
  return parsed.kind === 'manifest' ? parsed.manifest : assert.fail();
}

const oci = 'application/vnd.oci.image.layer.v1.tar';
const docker = 'application/vnd.docker.image.rootfs.diff.tar';

test('layers of OCI and Docker, plain, gzip and zstd, are images’', () => {
  const layers = ['', oci, `${oci}+gzip`, `${oci}+zstd`, docker, `${docker}.gzip`, `${docker}.zstd`];
  const foreign = [
    'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
    'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
  ];
  for (const config of [mediaTypes.ociConfig, mediaTypes.dockerConfig, ''])
    checkIsImage(manifest(config, [...layers, ...foreign]), 'app:1');
  assert.deepEqual(
    [...layers, ...foreign].filter(each => isForeignLayer(of(each))),
    foreign,
  );
});

test('what is no image is refused by what it is', () => {
  const table: [config: string, layers: string[], more: object, message: RegExp][] = [
    ['application/vnd.cncf.helm.config.v1+json', [], {}, /app:1 is no container image but an artifact \(application\/vnd\.cncf\.helm/],
    [
      mediaTypes.empty,
      [],
      { artifactType: 'application/spdx+json', subject: of(mediaTypes.ociManifest) },
      /an artifact \(application\/spdx\+json\)/,
    ],
    [mediaTypes.empty, [], {}, /an artifact \(without a type\)/],
    [mediaTypes.ociConfig, [oci, `${oci}+gzip+encrypted`], {}, /layers\[1\] \(sha256:.*\) is encrypted/],
    [mediaTypes.ociConfig, ['application/vnd.erofs'], {}, /layers\[0\] \(sha256:.*\) has the media type application\/vnd\.erofs/],
    [mediaTypes.ociConfig, [`${oci}+lz4`], {}, /layers\[0\] .* has the media type .*\+lz4/],
  ];
  for (const [config, layers, more, message] of table)
    assert.throws(
      () => checkIsImage(manifest(config, layers, more), 'app:1'),
      error => isUmiakError(error, 'Invalid') && message.test(error.message),
      String(message),
    );
  for (const old of ['{"schemaVersion":1,"fsLayers":[]}', '{"schemaVersion":1}'])
    assert.throws(() => parseManifestOrIndex(Buffer.from(old), 'app:1'), /app:1 is in Docker's schema 1/);
  for (const left of ['{"manifests":[]}', '{"schemaVersion":0,"manifests":[]}'])
    assert.equal(parseManifestOrIndex(Buffer.from(left), 'app:1').kind, 'index');
  assert.throws(() => parseManifestOrIndex(Buffer.from('{"schemaVersion":3,"manifests":[]}'), 'app:1'), /schemaVersion.*must be 2/);
});

test('which image of an index a platform takes', () => {
  const child = (platform: string, more: Partial<Descriptor> = {}): Descriptor => ({
    ...of(mediaTypes.ociManifest),
    digest: digestOf(platform),
    ...(platform ? { platform: parsePlatform(platform) } : {}),
    ...more,
  });
  const attestation = child('unknown/unknown', { annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } });
  const table: [has: (string | Descriptor)[], wanted: string, expected: string | undefined][] = [
    [['linux/amd64', 'linux/arm64'], 'linux/arm64', 'linux/arm64'],
    [['linux/arm64/v8'], 'linux/arm64', 'linux/arm64/v8'],
    [['linux/arm64'], 'linux/arm64/v8', 'linux/arm64'],
    [['linux/arm/v5', 'linux/arm/v6', 'linux/arm/v7'], 'linux/arm/v7', 'linux/arm/v7'],
    [['linux/arm/v5', 'linux/arm/v6'], 'linux/arm/v7', 'linux/arm/v6'],
    [['linux/arm/v5', 'linux/arm/v6', 'linux/arm/v7'], 'linux/arm', 'linux/arm/v7'],
    [['linux/arm/v7'], 'linux/arm/v6', undefined],
    [['linux/amd64/v3', 'linux/amd64', 'linux/amd64/v2'], 'linux/amd64', 'linux/amd64'],
    [['linux/amd64/v3', 'linux/amd64', 'linux/amd64/v2'], 'linux/amd64/v2', 'linux/amd64/v2'],
    [['linux/amd64/v3', 'linux/amd64/v2'], 'linux/amd64', 'linux/amd64/v2'],
    [['linux/arm64', 'linux/x86_64'], 'linux/amd64', 'linux/x86_64'],
    [['linux/arm64'], 'linux/aarch64', 'linux/arm64'],
    [['windows/amd64'], 'linux/amd64', undefined],
    [[attestation, 'linux/amd64'], 'linux/amd64', 'linux/amd64'],
    [[attestation], 'unknown/unknown', undefined],
    [[attestation, child('')], 'linux/amd64', ''],
    [[child('linux/amd64', { artifactType: 'application/x' })], 'linux/amd64', undefined],
  ];
  for (const [has, wanted, expected] of table) {
    const manifests = has.map(each => (typeof each === 'string' ? child(each) : each));
    const chosen = planPlatform(manifests, parsePlatform(wanted))?.digest;
    assert.equal(chosen, expected === undefined ? undefined : digestOf(expected), `${wanted} of ${JSON.stringify(has)}`);
  }
});
