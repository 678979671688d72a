import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { inNamespace, isPinned, pinNamespaces, setHostname, unpinNamespace } from './namespaces.ts';
import { linkUp, Netlink } from './netlink.ts';

const own = () => ['net', 'ipc', 'uts'].map(kind => readlinkSync(`/proc/thread-self/ns/${kind}`));

test('pinned namespaces live without a process, and this thread stays where it was', t => {
  const dir = mkdtempSync(join(tmpdir(), 'umiak-ns-'));
  const pins = { net: join(dir, 'net'), uts: join(dir, 'uts') };
  t.after(() => {
    for (const path of Object.values(pins)) unpinNamespace(path);
    rmSync(dir, { recursive: true });
  });
  const before = [own(), hostname()];
  using inside = pinNamespaces(pins, () => new Netlink())!;
  inside.send(linkUp(1));
  assert.equal(inside.link('lo')?.isUp, true);
  assert.equal(inside.link('eth7'), undefined);
  setHostname(pins.uts, 'elsewhere');
  assert.equal(inNamespace(pins.uts, 'uts', hostname), 'elsewhere');
  assert.throws(() =>
    inNamespace(pins.net, 'net', () => {
      throw new Error('in there');
    }),
  );
  assert.deepEqual([own(), hostname()], before);
  unpinNamespace(pins.net);
  unpinNamespace(pins.net);
  assert.equal(isPinned(pins.net), false);
});

test('what fails halfway leaves nothing', t => {
  const dir = mkdtempSync(join(tmpdir(), 'umiak-ns-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const before = own();
  assert.throws(() => pinNamespaces({ net: join(dir, 'net'), uts: join(dir, 'missing', 'uts') }));
  assert.throws(() =>
    pinNamespaces({ net: join(dir, 'net') }, () => {
      throw new Error('inside');
    }),
  );
  assert.deepEqual(readdirSync(dir), []);
  assert.deepEqual(own(), before);
});
