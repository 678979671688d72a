import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isUmiakError } from '#base/errors.ts';
import { buildTar, type FixtureEntry, inPieces } from '#images/fixtures.ts';
import { readTar } from '#images/tar-reader.ts';
import { MS_BIND, MS_SHARED, mount, umount } from '#linux/mount.ts';
import { HungMount } from '#tests/hung-mount.ts';
import { EngineBench } from '../test-bench.ts';
import { ContainerFiles } from './container-files.ts';

const bench = new EngineBench('confined', 'crun');
const SECRET = 'the secret of the machine';
let files: ContainerFiles;
let outside: string;

before(async () => {
  await bench.open();
  files = new ContainerFiles({ engine: bench.engine, idleMs: 200 });
  outside = join(bench.directory, 'outside');
  mkdirSync(outside);
  writeFileSync(join(outside, 'file'), SECRET);
});
after(async () => {
  await files[Symbol.asyncDispose]();
  await bench[Symbol.asyncDispose]();
});

async function put(
  id: string,
  path: string,
  entries: FixtureEntry[],
  options: Parameters<ContainerFiles['extract']>[3] = {},
): Promise<void> {
  await files.extract(id, path, inPieces(buildTar(entries), 1000), options);
}

async function read(id: string, path: string): Promise<string> {
  let all = '';
  await files.archive(id, path, {}, async (_, archive) => {
    for await (const entry of readTar(archive)) for await (const chunk of entry.body()) all += chunk.toString();
  });
  return all;
}

/** Untouched, and nothing new beside it. */
function assertUntouched(): void {
  assert.deepEqual(readdirSync(outside), ['file']);
  assert.equal(readFileSync(join(outside, 'file'), 'utf8'), SECRET);
}

/** The container swaps a directory with links that would lead to the machine's `outside`, as fast as it can. */
function swapper(): string {
  const up = '../'.repeat(40);
  return `mkdir -p /real /a/b; echo inside > /real/file; ln -s ${outside} /absolute; ln -s ${up}${outside.slice(1)} /relative; ln -s /proc/1/root${outside} /magic
    echo ready > /ready
    while true; do for to in absolute real relative real magic real; do rm -rf /spot; if [ $to = real ]; then mkdir /spot; echo inside > /spot/file; else mv /$to /spot; ln -s $(readlink /spot) /$to; fi; done; done`;
}

for (const state of ['running', 'stopped'] as const)
  test(`links of a ${state} container lead nowhere outside of it, not even while it swaps them`, { timeout: 120_000 }, async () => {
    const container = await bench.start(swapper().replace('while true', state === 'running' ? 'while true' : 'while false'));
    const { id } = container;
    if (state === 'running')
      await bench.engine.execSync(id, { command: ['sh', '-c', 'until test -e /ready; do :; done'], timeoutMs: 10_000 });
    else await bench.exited(id);
    const harmless = ['NotFound', 'BadRequest', 'Invalid', 'InternalError'] as const;
    const attempt = async <T>(work: Promise<T>) =>
      await work.catch(error => {
        assert.ok(
          harmless.some(reason => isUmiakError(error, reason)),
          String(error),
        );
        return undefined;
      });
    let seen = 0;
    for (let round = 0; round < (state === 'running' ? 60 : 10); round++)
      for (const path of state === 'running' ? ['/spot', '/spot/', '/spot/file'] : ['/absolute/', '/relative/file', '/magic/', '/']) {
        const text = await attempt(read(id, path));
        if (text?.includes('inside')) seen++;
        assert.ok(!text?.includes(SECRET), path);
        if (round % 3 === 0 && path !== '/')
          await attempt(
            put(id, path.replace(/\/file$/, ''), [
              { name: 'file', content: 'inside, written' },
              { name: 'planted/x', content: 'x' },
            ]),
          );
        assertUntouched();
      }
    assert.ok(seen > 0, 'the loop met what is allowed, too');
    if (state === 'running') await bench.engine.stopContainer(id, { graceMs: 0 });
  });

for (const how of ['that runs', 'that has ended', 'with users of its own'] as const)
  test(`the machine’s /proc in a container ${how}: its links lead nowhere`, async () => {
    // It can't be bound there; the container's own stands for it.
    const hasUsers = how === 'with users of its own';
    const mounts = hasUsers ? [] : [{ source: '/proc', destination: '/machine', readOnly: true }];
    const sandbox = await bench.sandbox(hasUsers ? { ownUsers: true } : {});
    const links = ['1/root', 'self/root', `${process.pid}/root`, 'thread-self/cwd'];
    const script = links.map((link, i) => `ln -s /machine/${link}${outside} /link${i}`).join('; ');
    const { id } = await bench.start(
      `${script}; ln -s /machine/self/fd /fds; ${how === 'that has ended' ? 'true' : 'sleep 1000'}`,
      { mounts },
      sandbox,
    );
    if (how === 'that has ended') await bench.exited(id);
    else await bench.engine.execSync(id, { command: ['sh', '-c', 'until test -L /fds; do :; done'], timeoutMs: 10_000 });
    for (const [i, link] of links.entries()) {
      for (const path of [`/link${i}/file`, `/link${i}/`, `/machine/${link}${outside}/file`, '/proc/1/root/etc/passwd'])
        await assert.rejects(read(id, path), error => isUmiakError(error, 'NotFound'), path);
      await assert.rejects(put(id, `/link${i}`, [{ name: 'planted', content: 'x' }]), error => isUmiakError(error, 'NotFound'));
    }
    await assert.rejects(read(id, '/fds/'), error => isUmiakError(error, 'NotFound'));
    assertUntouched();
  });

test('archives that want to leave: names, links and devices', async () => {
  const { id } = await bench.start('mkdir /in; sleep 1000');
  await bench.engine.execSync(id, { command: ['sh', '-c', 'until test -d /in; do :; done'], timeoutMs: 10_000 });
  const refused: [FixtureEntry[], RegExp][] = [
    [[{ name: '../up', content: 'x' }], /"..\/up" is refused: it lies outside/],
    [[{ name: 'a/../../up', content: 'x' }], /is refused: it lies outside/],
    [[{ name: 'hard', type: 'link', linkName: '../etc/passwd' }], /"hard" is refused: its hard link’s target/],
    [[{ name: 'hard', type: 'link', linkName: 'nothing' }], /"hard" can't be put there/],
    [[{ name: `${'n'.repeat(300)}`, content: 'x' }], /its name is too long/],
    [
      [
        { name: 'file', content: 'x' },
        { name: 'file/below', content: 'x' },
      ],
      /"file\/below" can't be put there/,
    ],
  ];
  for (const [entries, message] of refused)
    await assert.rejects(put(id, '/in', entries), error => isUmiakError(error, 'Invalid') && message.test(error.message), message.source);
  await put(id, '/in', [
    { name: '/absolute', content: 'below' },
    { name: 'link', type: 'symlink', linkName: '/etc' },
    { name: 'link/through-link', content: 'in the container' },
    { name: 'up', type: 'symlink', linkName: `${'../'.repeat(50)}${outside.slice(1)}` },
    { name: 'null', type: 'char', devMajor: 1, devMinor: 3, mode: 0o666 },
    { name: 'fifo', type: 'fifo' },
    { name: 'again', content: 'first' },
    { name: 'other', type: 'link', linkName: 'again' },
  ]);
  await assert.rejects(put(id, '/in/up', [{ name: 'file', content: 'x' }]), error => isUmiakError(error, 'NotFound'));
  assertUntouched();
  const { output } = await bench.engine.execSync(id, {
    command: ['sh', '-c', 'cd /in; cat absolute /etc/through-link; stat -c %h again; test -c null && test -p fifo && echo kept'],
    timeoutMs: 10_000,
  });
  assert.equal(output, 'belowin the container2\nkept\n');
  await assert.rejects(files.extract(id, '/in', inPieces(Buffer.alloc(5000, 'no archive')), {}), error => isUmiakError(error, 'Invalid'));
  await assert.rejects(read(id, '/in\0'), error => isUmiakError(error, 'BadRequest'));
  await assert.rejects(
    put(id, '/in/absolute', []),
    error => isUmiakError(error, 'BadRequest') && /extraction point is not a directory/.test(error.message),
  );
});

test('what is read-only stays so; directories are replaced only when that is asked for', async () => {
  const volume = join(bench.directory, 'volume');
  mkdirSync(join(volume, 'below'), { recursive: true });
  writeFileSync(join(volume, 'kept'), 'kept');
  const mounts = [
    { source: volume, destination: '/volume' },
    { source: volume, destination: '/sealed', readOnly: true },
  ];
  for (const runs of [true, false]) {
    const made = await bench.create('sleep 1000', { mounts, security: { readOnlyRoot: true } });
    if (runs) await bench.engine.startContainer(made.id);
    const refuses = (path: string, message: RegExp) =>
      assert.rejects(
        put(made.id, path, [{ name: 'x', content: 'x' }]),
        error => isUmiakError(error, 'BadRequest') && message.test(error.message),
      );
    await refuses('/etc', /^container rootfs is marked read-only$/);
    await refuses('/sealed', /^mounted volume is marked read-only$/);
    await put(made.id, '/volume/below', [{ name: `made-${runs}`, content: 'through the volume', uid: 7, gid: 8 }]);
    assert.equal(readFileSync(join(volume, `below/made-${runs}`), 'utf8'), 'through the volume');
    assert.equal(statSync(join(volume, `below/made-${runs}`)).uid, 7);
    assert.equal(await read(made.id, '/sealed/kept'), 'kept');
    await put(made.id, '/volume', [{ name: 'to-sealed', type: 'symlink', linkName: '/sealed' }]);
    await assert.rejects(
      put(made.id, '/volume', [{ name: 'to-sealed/planted', content: 'x' }]),
      error => isUmiakError(error, 'BadRequest') && /the file system is read-only/.test(error.message),
      'by a link of another volume',
    );
    assert.ok(!existsSync(join(volume, 'planted')));
    const changed = (await files.changes(made.id)).map(({ path }) => path);
    assert.deepEqual(changed, [], 'what is mounted is not the container’s');
    let exported = '';
    await files.export(made.id, {}, async archive => {
      for await (const { name } of readTar(archive)) exported += `${name} `;
    });
    assert.ok(
      exported.includes('bin/busybox') && exported.includes('volume/ ') && !exported.includes('kept') && !exported.startsWith('./'),
    );
  }
  const { id } = await bench.start('mkdir -p /d/sub; echo x > /d/f; sleep 1000');
  await bench.engine.execSync(id, { command: ['sh', '-c', 'until test -f /d/f; do :; done'], timeoutMs: 10_000 });
  const strict = { noOverwriteDirNonDir: true };
  await assert.rejects(put(id, '/d', [{ name: 'sub', content: 'x' }], strict), /cannot overwrite directory "\/d\/sub" with non-directory/);
  await assert.rejects(put(id, '/d', [{ name: 'f/' }], strict), /cannot overwrite non-directory "\/d\/f" with directory/);
  await put(
    id,
    '/d',
    [
      { name: 'sub', content: 'now a file' },
      { name: 'f/', mode: 0o700 },
      { name: 'f/x', content: 'x', uid: 3 },
    ],
    { owner: { uid: 1000, gid: 1001 } },
  );
  const { output } = await bench.engine.execSync(id, {
    command: ['sh', '-c', 'cat /d/sub; stat -c " %a %u:%g" /d/f /d/f/x'],
    timeoutMs: 10_000,
  });
  assert.equal(output, 'now a file 700 1000:1001\n 644 1000:1001\n');
});

test('users of their own: archives have the owners that the container sees', async () => {
  const sandbox = await bench.sandbox({ ownUsers: true });
  const { id } = await bench.start('touch /made; chown 5:6 /made; echo > /ready; sleep 1000', {}, sandbox);
  await bench.engine.execSync(id, { command: ['sh', '-c', 'until test -e /ready; do :; done'], timeoutMs: 10_000 });
  const ownerOf = async (path: string) => {
    let owner = '';
    await files.archive(id, path, {}, async (_, archive) => {
      for await (const { uid, gid } of readTar(archive)) owner = `${uid}:${gid}`;
    });
    return owner;
  };
  assert.equal(await ownerOf('/made'), '5:6');
  await put(id, '/', [{ name: 'brought', content: 'x', uid: 7, gid: 8 }]);
  assert.equal(await ownerOf('/brought'), '7:8');
  const { output } = await bench.engine.execSync(id, { command: ['stat', '-c', '%u:%g', '/brought', '/bin'], timeoutMs: 10_000 });
  assert.equal(output, '7:8\n0:0\n');
  await assert.rejects(put(id, '/', [{ name: 'far', content: 'x', uid: 100_000 }]), /"far" is refused: its owner 100000:0 has no place/);
  const kinds = Object.fromEntries((await files.changes(id)).map(({ path, kind }) => [path, kind]));
  assert.deepEqual(kinds, { '/brought': 1, '/made': 1, '/ready': 1 });
});

test('a visit that is given up ends at once, leaves no thread behind, and hinders no other', async () => {
  const { id } = await bench.start('dd if=/dev/zero of=/big bs=1M count=64; mkfifo /fifo; sleep 1000');
  await bench.engine.execSync(id, { command: ['sh', '-c', 'until test -p /fifo; do :; done'], timeoutMs: 20_000 });
  const leaving = new AbortController();
  const stalled = files.archive(id, '/big', { signal: leaving.signal }, async (_, archive) => {
    for await (const _chunk of archive) {
      assert.equal(await read(id, '/etc/group').then(text => text.includes('root')), true, 'another gets on meanwhile');
      leaving.abort(new Error('the client left'));
    }
  });
  await assert.rejects(stalled, /the client left/);
  const neverEnding = new AbortController();
  const waits = async function* () {
    yield buildTar([{ name: 'one', content: 'x' }]).subarray(0, 512);
    const { promise, reject } = Promise.withResolvers<never>();
    neverEnding.signal.addEventListener('abort', () => reject(new Error('gone')));
    yield await promise;
  };
  const half = files.extract(id, '/', waits(), { signal: neverEnding.signal });
  setImmediate(() => neverEnding.abort(new Error('the client left, too')));
  await assert.rejects(half, /the client left, too/);
  assert.ok(!existsSync(join(outside, 'one')));
  const deadline = Date.now() + 5_000;
  while (files.threads > 0 && Date.now() < deadline) await new Promise(resolve => setTimeout(resolve, 20));
  assert.equal(files.threads, 0);
});

test('a mount that does not answer holds nobody else up, and is given up', async () => {
  await using stack = new AsyncDisposableStack();
  // What is mounted below it later appears in the container, too, which does not wait for it.
  const shared = join(bench.directory, 'shared');
  mkdirSync(shared);
  mount(shared, shared, null, MS_BIND);
  stack.defer(() => umount(shared, { detach: true }));
  mount('none', shared, null, MS_SHARED);
  const { id } = await bench.start('sleep 1000', { mounts: [{ source: shared, destination: '/shared', propagation: 'rslave' }] });
  const impatient = stack.use(new ContainerFiles({ engine: bench.engine, patienceMs: 4000, idleMs: 200 }));
  stack.use(await HungMount.open(join(shared, 'hung')));
  const held = assert.rejects(impatient.stat(id, '/shared/hung/file'), error => isUmiakError(error, 'Timeout'));
  assert.ok((await impatient.stat(id, '/bin')).mode > 0);
  await held;
  assert.ok((await impatient.stat(id, '/bin/busybox')).size > 0);
  await bench.engine.stopContainer(id, { graceMs: 0 });
});
