import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { SYSTEM } from '#apiserver/identity.ts';
import { startTestCluster, type TestCluster } from '#apiserver/test-cluster.ts';
import { silentLog, systemClock } from '#base/index.ts';
import { ConfigMap } from '#kinds/config-map.ts';
import { Event } from '#kinds/event.ts';
import { Namespace } from '#kinds/namespace.ts';
import { boats } from '#tests/boats.ts';
import { recordNameOf } from './manifest-applier.ts';
import { Manifests } from './manifests.ts';

const configMap = (name: string, value: string, more = '') =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: ${name}${more} }\ndata: { value: "${value}" }\n`;

describe('the folder manifests', () => {
  let cluster: TestCluster;
  let folder: string;
  let manifests: Manifests;

  before(async () => {
    cluster = await startTestCluster();
    folder = join(cluster.directory, 'manifests');
    manifests = start();
    await manifests.start();
  });
  after(async () => {
    await manifests[Symbol.asyncDispose]();
    await cluster[Symbol.asyncDispose]();
  });

  const start = () => new Manifests({ folder, transport: cluster.server.local(SYSTEM), clock: systemClock, log: silentLog });
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  const read = async (name: string, namespace = 'default') => (await cluster.client.get(ConfigMap, { name, namespace }))?.data?.value;
  const shows = (what: string, name: string, value: string | undefined) => until(what, async () => (await read(name)) === value);

  test('a folder that comes, subfolders, JSON, namespaces; other files and hidden ones are left alone', async () => {
    write('sub/deeper/b.json', JSON.stringify({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'b' }, data: { value: '1' } }));
    write('a.yaml', `${configMap('in', '1', ', namespace: made')}---\napiVersion: v1\nkind: Namespace\nmetadata: { name: made }\n`);
    write('notes.txt', configMap('no', '1'));
    write('.hidden.yaml', configMap('no', '1'));
    await shows('b', 'b', '1');
    await until('a', async () => (await read('in', 'made')) === '1');
    assert.equal(await read('no'), undefined);
    const made = await cluster.client.get(ConfigMap, { name: 'b', namespace: 'default' });
    assert.equal(made?.metadata.annotations?.['umiak.io/manifest'], 'sub/deeper/b.json');
    assert.deepEqual(
      made?.metadata.managedFields?.map(({ manager, operation }) => [manager, operation]),
      [['manifests', 'Apply']],
    );
  });

  test('a changed file is applied again; what it holds no longer goes, what is gone with its file stays', async () => {
    write('c.yaml', `${configMap('kept', '1')}---\n${configMap('left', '1')}---\n${configMap('taken', '1')}`);
    await shows('left', 'taken', '1');
    write('d.yaml', configMap('taken', '2'));
    await shows('the other file to have it', 'taken', '2');
    write('c.yaml', configMap('kept', '2'));
    await shows('the change', 'kept', '2');
    await shows('its end', 'left', undefined);
    assert.equal(await read('taken'), '2', 'another file has it by now');
    rmSync(join(folder, 'c.yaml'));
    write('e.yaml', configMap('later', '1'));
    await shows('the next one', 'later', '1');
    assert.equal(await read('kept'), '2');
    renameSync(join(folder, 'sub'), join(folder, 'moved'));
    write('moved/deeper/b.json', configMap('b', '2'));
    await shows('a moved folder', 'b', '2');
  });

  test('what fails is told by an event and tried again; the rest of the file is applied', async () => {
    write('f.yaml', `${configMap('fails', '1', ', namespace: not-yet')}---\n${configMap('fine', '1')}`);
    await shows('the rest', 'fine', '1');
    const told = await until('the event', () => eventOf('f.yaml', 'ApplyManifestFailed'));
    assert.match(told.message ?? '', /^f\.yaml: ConfigMap fails: namespaces "not-yet" not found$/);
    await cluster.client.create(Namespace, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'not-yet' }, spec: {} });
    await until('the next try', async () => (await read('fails', 'not-yet')) === '1');
    assert.match((await until('the event', () => eventOf('f.yaml', 'AppliedManifest'))).message ?? '', /2 objects applied, 0 deleted/);
    write('g.yaml', 'apiVersion: v1\nkind: ConfigMap\nmetadata: { name: g }\nspec: { x: 1 }\n');
    assert.match(
      (await until('the event', () => eventOf('g.yaml', 'ApplyManifestFailed'))).message ?? '',
      /unknown field|field not declared/,
    );
    write('g.yaml', 'torn: [');
    await until('that it is no YAML', async () => /no YAML/.test((await eventOf('g.yaml', 'ApplyManifestFailed', /YAML/))?.message ?? ''));
    rmSync(join(folder, 'g.yaml'));
  });

  test('a definition and its objects in one file, the objects first', async () => {
    write('h.yaml', `apiVersion: test.umiak.io/v1\nkind: Boat\nmetadata: { name: one }\n---\n${JSON.stringify(boats)}\n`);
    const path = '/apis/test.umiak.io/v1/namespaces/default/boats/one';
    await until('the boat', async () => (await cluster.call('GET', path)).status === 200);
  });

  test('.skip beside a file leaves it alone, at the next start too; what went meanwhile is deleted then', async () => {
    write('i.yaml.skip', '');
    write('i.yaml', configMap('skipped', '1'));
    write('j.yaml', `${configMap('j', '1')}---\n${configMap('j-too', '1')}`);
    await shows('the one beside', 'j-too', '1');
    await manifests[Symbol.asyncDispose]();
    write('j.yaml', configMap('j', '2'));
    await cluster.client.delete(ConfigMap, { name: 'later', namespace: 'default' });
    manifests = start();
    await manifests.start();
    await shows('the change', 'j', '2');
    await shows('what is gone from it', 'j-too', undefined);
    await shows('what somebody deleted', 'later', '1');
    assert.equal(await read('skipped'), undefined);
    rmSync(join(folder, 'i.yaml.skip'));
    await shows('it after all', 'skipped', '1');
    write('j.yaml', '');
    write('k.yaml', configMap('k', '1'));
    await shows('the next one', 'k', '1');
    assert.equal(await read('j'), '2', 'an empty file is being written, or gone');
  });

  async function eventOf(path: string, reason: string, message = /./) {
    const { items } = await cluster.client.list(Event, { namespace: 'kube-system' });
    return items.find(
      event => event.involvedObject.name === recordNameOf(path) && event.reason === reason && message.test(event.message ?? ''),
    );
  }

  async function until<T>(what: string, look: () => Promise<T | undefined | false>): Promise<T> {
    const end = performance.now() + 20_000;
    for (;;) {
      const found = await look();
      if (found) return found;
      if (performance.now() > end) throw new Error(`in vain: ${what}`);
      await new Promise(resume => setTimeout(resume, 20));
    }
  }
});
