import assert from 'node:assert/strict';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { temporaryDirectory } from '#images/fixtures.ts';
import { VolumeFileSystems } from './volume-file-systems.ts';
import { VolumeStore } from './volume-store.ts';

test('a server that does not answer holds a process, for so long; the kernel gets numbers and all options', async () => {
  await using directory = await temporaryDirectory();
  const store = new VolumeStore({ directory: join(directory.path, 'volumes'), clock: systemClock }).open();
  await store.create({ name: 'far', labels: {}, options: { type: 'nfs', device: ':/export', o: 'addr=localhost,vers=4,ro' } });
  const [command, said] = [join(directory.path, 'mount'), join(directory.path, 'said')];
  const script = (then: string) => {
    writeFileSync(command, `#!/bin/sh\necho "$@" > ${said}\n${then}\n`);
    chmodSync(command, 0o755);
  };
  const impatient = new VolumeFileSystems({ store, command, patienceMs: 2000 });
  script('exec sleep 60');
  await assert.rejects(impatient.mount('far'), /failed to mount local volume: mounting :\/export: its server does not answer/);
  assert.equal(impatient.isMounted('far'), false);
  const fileSystems = new VolumeFileSystems({ store, command });
  assert.match(readFileSync(said, 'utf8'), /^-i -n -t nfs -o addr=(127\.0\.0\.1|::1),vers=4,ro -- :\/export .*\/far\/_data\n$/);
  script('echo "mount: bad option" >&2; exit 32');
  await assert.rejects(fileSystems.mount('far'), /failed to mount local volume: bad option/);
  script('exit 0');
  await fileSystems.mount('far');
  assert.equal(fileSystems.isMounted('far'), true);
  await fileSystems.unmount('far');
});
