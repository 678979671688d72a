import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { silentLog } from '#base/log.ts';
import { serveRegistry } from '#tests/registry.ts';
import { buildImage, buildLayout, buildTar, inPieces, temporaryDirectory } from './fixtures.ts';
import { openImages } from './images.ts';

const exec = promisify(execFile);

test('what we save, skopeo reads and pushes in both forms; what it pushed to Debian’s registry, we pull by tag and digest', async () => {
  await using directory = await temporaryDirectory();
  await using registry = await serveRegistry(join(directory.path, 'registry'));
  const image = buildImage([buildTar([{ name: 'a', content: 'x'.repeat(100_000) }]), buildTar([{ name: '.wh.a' }, { name: 'b' }])], {
    Cmd: ['/b'],
  });
  const archive = join(directory.path, 'saved.tar');
  {
    await using images = await openImages({ dataDir: join(directory.path, 'data-1'), log: silentLog });
    await images.load(inPieces(buildLayout(image, 'app:1')));
    await pipeline(await images.save(['app:1']), createWriteStream(archive));
  }
  const copy = (from: string, tag: string) =>
    exec('skopeo', ['copy', '--insecure-policy', '--dest-tls-verify=false', from, `docker://${registry.host}/team/app:${tag}`]);
  await copy(`oci-archive:${archive}`, 'oci');
  await copy(`docker-archive:${archive}`, 'docker');
  await using images = await openImages({ dataDir: join(directory.path, 'data-2'), log: silentLog });
  const oci = await images.pull(`${registry.host}/team/app:oci`);
  assert.deepEqual([oci.id, oci.manifestDigest], [image.configDigest, image.manifest.digest]);
  const docker = await images.pull(`${registry.host}/team/app:docker`);
  assert.equal(docker.id, image.configDigest, 'the same configuration under another manifest');
  assert.deepEqual(docker.repoTags, [`${registry.host}/team/app:docker`, `${registry.host}/team/app:oci`]);
  const byDigest = await images.pull(`${registry.host}/team/app@${image.manifest.digest}`);
  assert.equal(byDigest.id, image.configDigest);
  await assert.rejects(images.pull(`${registry.host}/team/app:absent`), /404/);
});
