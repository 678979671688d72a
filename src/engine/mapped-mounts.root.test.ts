import assert from 'node:assert/strict';
import { chmodSync, chownSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { mount, umount } from '#linux/mount.ts';
import { mountsBelow } from '#linux/mount-table.ts';
import { unpinNamespace } from '#linux/namespaces.ts';
import { pinUserNamespace } from '#linux/user-namespace.ts';
import { MappedMounts } from './mapped-mounts.ts';
import { shiftOwners } from './shift-owners.ts';

const HOST = 1_310_720;
const ids = [{ containerId: 0, hostId: HOST, length: 65_536 }];
const mappings = { uids: ids, gids: ids };

test('layers on a file system without idmapped mounts get their new owners file by file, once', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'umiak-mapped-'));
  const at = (name: string) => join(directory, name);
  const pin = at('user');
  const owners = () =>
    readdirSync(at('merged')).map(name => [name, lstatSync(at(`merged/${name}`)).uid, lstatSync(at(`merged/${name}`)).gid]);
  try {
    for (const name of ['a', 'b', 'lower', 'upper', 'work', 'merged']) mkdirSync(at(name));
    writeFileSync(at('a/root'), '');
    writeFileSync(at('a/suid'), '');
    chownSync(at('a/suid'), 1000, 1001);
    chmodSync(at('a/suid'), 0o4755);
    symlinkSync('/etc/passwd', at('a/zlink'));
    mount('overlay', at('lower'), 'overlay', 0, `lowerdir=${at('a')}:${at('b')}`); // overlay itself has no idmapped mounts
    pinUserNamespace({ user: pin }, mappings);
    const mapped = new MappedMounts(at('mapped'));
    const layers = { lowerDirs: [at('lower')], writable: { upper: at('upper'), work: at('work') }, target: at('merged') };
    await mapped.mountOverlay('c', { path: pin, mappings }, layers);
    const shifted = [
      ['root', HOST, HOST],
      ['suid', HOST + 1000, HOST + 1001],
      ['zlink', HOST, HOST],
    ];
    assert.deepEqual(owners(), shifted);
    assert.equal(lstatSync(at('merged/suid')).mode & 0o7777, 0o4755);
    assert.equal(lstatSync('/etc/passwd').uid, 0, 'no link is followed');
    await shiftOwners(at('merged'), mappings);
    assert.deepEqual(owners(), shifted);
    assert.deepEqual(mountsBelow(at('mapped')), []);
  } finally {
    for (const target of mountsBelow(directory).reverse()) umount(target, { detach: true });
    unpinNamespace(pin);
    rmSync(directory, { recursive: true, force: true });
  }
});
