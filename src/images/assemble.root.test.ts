import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isUmiakError } from '#base/errors.ts';
import { silentLog } from '#base/log.ts';
import { assembleArchive } from './assemble.ts';
import { parseAssembleFile } from './assemble-file.ts';
import { parseSimulation, parseStanzas, toAptError } from './debian-packages.ts';
import { temporaryDirectory } from './fixtures.ts';
import { openImages } from './images.ts';

let directory: AsyncDisposable & { path: string };

before(async () => {
  directory = await temporaryDirectory();
});
after(() => directory[Symbol.asyncDispose]());

async function write(name: string, text: string): Promise<string> {
  const path = join(directory.path, name);
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, text);
  return path;
}

test('every bad field of the file is named', () => {
  const text = `
name: UPPER
packages: [Redis, ok]
surprise: 1
users: [{ name: a, uid: -1 }]
files: [{ path: etc/x, content: a, source: b }, { path: /a/../b }, { path: /c, content: x, mode: 644 }]
env: [A=1]
exposedPorts: [http]
`;
  assert.throws(
    () => parseAssembleFile(text, 'image.yaml'),
    error => {
      assert.ok(isUmiakError(error, 'Invalid'));
      const fields = error.details.causes?.map(({ field }) => field).sort();
      assert.deepEqual(fields, [
        'env',
        'exposedPorts[0]',
        'files[0]',
        'files[0].path',
        'files[1]',
        'files[1].path',
        'files[2].mode',
        'name',
        'packages[0]',
        'surprise',
        'users[0].gid',
        'users[0].uid',
      ]);
      return true;
    },
  );
  assert.throws(() => parseAssembleFile('a: [', 'image.yaml'), /image.yaml/);
  assert.throws(() => parseAssembleFile('[]', 'image.yaml'), /must be a map; name: is required/);
});

test('apt’s words are understood', () => {
  const simulated =
    'NOTE: x\nInst libc6 (2.36-9 Debian:12/stable [amd64])\nInst libx:i386 [1.0] (2.0 Debian [i386]) []\nConf libc6 (2.36-9 Debian)\n';
  assert.deepEqual(parseSimulation(simulated), [
    { name: 'libc6', version: '2.36-9' },
    { name: 'libx', version: '2.0' },
  ]);
  assert.deepEqual(parseStanzas('Package: a\nDescription: one\n two\nSHA256: ff\n\nPackage: b\n'), [
    { Package: 'a', Description: 'one\n two', SHA256: 'ff' },
    { Package: 'b' },
  ]);
  assert.match(toAptError('apt-get', "E: Version '1' for 'a' was not found").hint ?? '', /Renew the lock/);
  assert.equal(toAptError('apt-get', 'E: Unable to locate package nope').reason, 'NotFound');
});

test('files, directories, links, users and configuration without packages: the same bytes each time', async () => {
  await write('plain/tree/run.sh', '#!/bin/sh\n');
  await write('plain/tree/sub/data', 'data');
  const file = await write(
    'plain/image.yaml',
    `
name: team/plain:1
users: [{ name: app, uid: 1000, home: /app, shell: /bin/sh }]
groups: [{ name: readers, gid: 50, members: [app] }]
directories: [{ path: /data, owner: app, mode: "0750" }]
files:
  - { path: /app, source: tree, owner: "app:readers" }
  - { path: /etc/motd, content: "hello\\n", mode: "0600" }
links: [{ path: /bin/run, target: /app/run.sh }]
env: { PORT: 8080 }
entrypoint: [/app/run.sh]
cmd: [serve]
user: app
workingDir: /app
exposedPorts: [8080, 53/udp]
labels: { maker: tests }
`,
  );
  await using images = await openImages({ dataDir: join(directory.path, 'plain-data'), log: silentLog });
  const { record } = await images.assemble(file);
  assert.equal((await images.assemble(file)).record.manifestDigest, record.manifestDigest);
  assert.deepEqual(record.repoTags, ['docker.io/team/plain:1']);
  assert.deepEqual(record.config.config, {
    Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'PORT=8080'],
    Entrypoint: ['/app/run.sh'],
    Cmd: ['serve'],
    WorkingDir: '/app',
    User: 'app',
    ExposedPorts: { '8080/tcp': {}, '53/udp': {} },
    Labels: { maker: 'tests' },
  });
  const root = record.layers[0]!;
  const listed = execFileSync('find', ['.', '-printf', '%p %y %m %U:%G %l\n'], { cwd: root, encoding: 'utf8' }).split('\n');
  for (const line of [
    './app/run.sh f 644 1000:50 ',
    './app/sub d 755 1000:50 ',
    './data d 750 1000:1000 ',
    './tmp d 1777 0:0 ',
    './bin l 777 0:0 usr/bin',
    './usr/bin/run l 777 0:0 /app/run.sh',
    './etc/motd f 600 0:0 ',
  ])
    assert.ok(listed.includes(line), `${line}\n${listed.join('\n')}`);
  assert.equal(
    await readFile(join(root, 'etc/passwd'), 'utf8'),
    'root:x:0:0:root:/root:/usr/sbin/nologin\napp:x:1000:1000:app:/app:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n',
  );
  assert.equal(await readFile(join(root, 'etc/group'), 'utf8'), 'root:x:0:\napp:x:1000:\nnogroup:x:65534:\nreaders:x:50:app\n');
});

test('packages become an image that runs; the lock decides its bytes, offline, and is renewed when the file asks for others', {
  timeout: 300_000,
}, async () => {
  const text = (packages: string) =>
    `name: redis:7\npackages: [${packages}]\napplets: [cat]\nusers: [{ name: redis, uid: 999 }]\nentrypoint: [redis-server]\n`;
  const file = await write('redis/image.yaml', text('redis-server, busybox-static'));
  const cacheDir = join(directory.path, 'cache');
  await using images = await openImages({ dataDir: join(directory.path, 'redis-data'), log: silentLog });
  await assert.rejects(images.assemble(file, { cacheDir, frozen: true }), /there is no lock/);
  const { record, packages, lockPath } = await images.assemble(file, { cacheDir });
  const root = record.layers[0]!;
  const run = (command: string, ...args: string[]) => execFileSync('chroot', [root, command, ...args], { encoding: 'utf8' });
  assert.match(run('redis-server', '--version'), /^Redis server v=/);
  assert.match(run('/bin/sh', '-c', 'cat /etc/os-release'), /ID=debian/);
  const installed = (await readdir(join(root, 'var/lib/dpkg/status.d'))).filter(name => !name.endsWith('.md5sums'));
  assert.deepEqual(
    installed,
    packages.map(({ name }) => name),
  );
  assert.match(
    await readFile(join(root, 'var/lib/dpkg/status.d/redis-server'), 'utf8'),
    /^Package: redis-server\nSource|^Package: redis-server\n/,
  );
  for (const given of ['dpkg', 'adduser', 'perl-base', 'systemd', 'passwd']) assert.ok(!installed.includes(given), given);
  assert.ok(record.sizeBytes < 50e6, `${record.sizeBytes} bytes`);
  await assert.rejects(readdir(join(root, 'usr/share/man')), /ENOENT/);
  assert.ok((await readdir(join(root, 'usr/share/doc/redis-server'))).includes('copyright'));

  const lock = await readFile(lockPath, 'utf8');
  const path = process.env.PATH;
  process.env.PATH = await pathWithoutApt();
  try {
    const again = await assembleArchive(file, { cacheDir, frozen: true });
    await using other = await openImages({ dataDir: join(directory.path, 'other-data'), log: silentLog });
    const [loaded] = await other.load(again.archive);
    assert.equal(loaded?.manifestDigest, record.manifestDigest, 'the same lock gives the same bytes, without apt');
  } finally {
    process.env.PATH = path;
  }
  assert.equal(await readFile(lockPath, 'utf8'), lock);

  await writeFile(file, text('busybox-static'));
  await assert.rejects(images.assemble(file, { cacheDir, frozen: true }), /is for other packages/);
  assert.deepEqual(
    (await images.assemble(file, { cacheDir })).packages.map(({ name }) => name),
    ['base-files', 'busybox-static'],
  );

  await writeFile(
    lockPath,
    (await readFile(lockPath, 'utf8'))
      .replace(/name: busybox-static\n(\s+)version: .*\n/, 'name: busybox-static\n$1version: "0.1"\n')
      .replaceAll(/sha256: ..../g, 'sha256: 0000'),
  );
  await assert.rejects(
    images.assemble(file, { cacheDir }),
    error => isUmiakError(error, 'NotFound') && /no longer in the machine's apt sources/.test(error.message),
  );
  await writeFile(lockPath, 'version: 2\n');
  await assert.rejects(images.assemble(file, { cacheDir }), /version must be 1/);
  await rm(lockPath);
  await writeFile(file, text('no-such-package-at-all'));
  await assert.rejects(images.assemble(file, { cacheDir }), /does not know a package/);
});

/** A PATH on which dpkg-deb and what it needs are, and apt is not. */
async function pathWithoutApt(): Promise<string> {
  const dir = join(directory.path, 'bin');
  await mkdir(dir);
  for (const command of ['dpkg-deb', 'tar', 'xz', 'gzip']) {
    const found = execFileSync('sh', ['-c', `command -v ${command}`], { encoding: 'utf8' }).trim();
    execFileSync('ln', ['-s', found, join(dir, command)]);
  }
  return dir;
}
