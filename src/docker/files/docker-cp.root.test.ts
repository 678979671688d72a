import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, lstatSync, mkdirSync, readFileSync, readlinkSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { buffer, json } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import { mostBuffered } from '../most-buffered.ts';
import { FilesBench } from './testing.ts';

const bench = new FilesBench('cp');
let here: string;
let id: string;

before(async () => {
  await bench.open();
  here = join(bench.bench.directory, 'here');
  mkdirSync(join(here, 'tree/deep'), { recursive: true });
  writeFileSync(join(here, 'tree/deep/file'), 'deep', { mode: 0o640 });
  writeFileSync(join(here, 'file'), 'plain');
  symlinkSync('deep/file', join(here, 'tree/link'));
  execFileSync('chown', ['5:6', join(here, 'tree/deep/file')]);
  ({ id } = await bench.bench.start('mkdir -p /data/sub; ln -s /data /link; exec sleep 1000'));
  await inside('until test -L /link; do :; done');
});
after(() => bench[Symbol.asyncDispose]());

async function inside(script: string): Promise<string> {
  return (await bench.bench.engine.execSync(id, { command: ['sh', '-c', script], timeoutMs: 10_000 })).output;
}

async function call(
  method: string,
  path: string,
  body?: Buffer,
): Promise<{ status: number; headers: Record<string, unknown>; body: Buffer }> {
  const asked = request({ socketPath: bench.socketPath, method, path });
  asked.end(body);
  const [answer] = await once(asked, 'response');
  return { status: answer.statusCode, headers: answer.headers, body: await buffer(answer) };
}

test('docker cp into a container: files, directories, through links, with owners', async () => {
  await bench.docker('cp', join(here, 'file'), `${id}:/data/renamed`);
  await bench.docker('cp', join(here, 'file'), `${id}:/link`);
  await bench.docker('cp', join(here, 'tree'), `${id}:/data/sub`);
  await bench.docker('cp', '-a', `${join(here, 'tree')}/.`, `${id}:/data/sub/contents`);
  assert.equal(
    await inside('cd /data; cat renamed file sub/tree/deep/file; readlink sub/contents/link; stat -c "%a %u:%g" sub/tree/deep/file'),
    'plainplaindeepdeep/file\n640 5:6\n',
  );
  await assert.rejects(
    bench.docker('cp', join(here, 'file'), `${id}:/data/sub/nothing/x`),
    /Could not find the file \/data\/sub\/nothing in container/,
  );
  await assert.rejects(bench.docker('cp', join(here, 'tree'), `${id}:/data/renamed`), /cannot copy directory/);
  assert.equal(bench.told.filter(({ action }) => action === 'extract-to-dir').length, 4);
});

test('docker cp out of a container: the same, and links themselves or what they lead to', async () => {
  await inside('echo one > /data/one; mkdir -p /data/more; echo two > /data/more/two; ln -sf /data/one /data/latest');
  await bench.docker('cp', `${id}:/data/one`, join(here, 'back'));
  assert.equal(readFileSync(join(here, 'back'), 'utf8'), 'one\n');
  await bench.docker('cp', `${id}:/data/more`, join(here, 'dir'));
  await bench.docker('cp', `${id}:/data/more/.`, join(here, 'tree'));
  assert.equal(readFileSync(join(here, 'dir/two'), 'utf8'), 'two\n');
  assert.equal(readFileSync(join(here, 'tree/two'), 'utf8'), 'two\n');
  await bench.docker('cp', `${id}:/data/latest`, join(here, 'latest'));
  assert.equal(readlinkSync(join(here, 'latest')), '/data/one');
  await bench.docker('cp', '-L', `${id}:/data/latest`, join(here, 'followed'));
  assert.equal(readFileSync(join(here, 'followed'), 'utf8'), 'one\n');
  await assert.rejects(bench.docker('cp', `${id}:/nothing`, here), /Could not find the file \/nothing in container/);
  await assert.rejects(bench.docker('cp', 'nobody:/x', here), /No such container: nobody/);
});

test('archives on standard input and output, plain and compressed in each way docker knows', async () => {
  const archive = await bench.docker('cp', `${id}:/data/sub/tree`, '-');
  assert.match(execFileSync('tar', ['t'], { input: archive, encoding: 'utf8' }), /^tree\/\ntree\/deep\/\ntree\/deep\/file\ntree\/link\n$/);
  const tar = execFileSync('tar', ['-C', here, '-c', 'file']);
  for (const [program, ...args] of [['cat'], ['gzip', '-c'], ['xz', '-c'], ['bzip2', '-c'], ['zstd', '-c']] as const) {
    if (!existsSync(`/usr/bin/${program}`) && !existsSync(`/bin/${program}`)) continue;
    await inside('rm -f /data/file');
    const packed = execFileSync(program, [...args], { input: tar });
    assert.equal((await call('PUT', `/containers/${id}/archive?path=/data`, packed)).status, 200, program);
    assert.equal(await inside('cat /data/file'), 'plain', program);
  }
  const damaged = execFileSync('gzip', ['-c'], { input: tar }).subarray(0, 60);
  assert.equal((await call('PUT', `/containers/${id}/archive?path=/data`, damaged)).status, 400);
  const child = spawn('docker', ['-H', `unix://${bench.socketPath}`, 'cp', '-', `${id}:/data/sub`], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  child.stdin.end(tar);
  assert.deepEqual(await once(child, 'exit'), [0, null]);
  assert.equal(await inside('cat /data/sub/file'), 'plain');
});

test('what a path is: the header of HEAD and GET, and refusals', async () => {
  await inside('echo 12345 > /data/stat; chmod 4755 /data/stat; touch -d "2020-01-02 03:04:05" /data/stat');
  const { status, headers } = await call('HEAD', `/v1.41/containers/${id}/archive?path=/data/stat`);
  const stat = JSON.parse(Buffer.from(String(headers['x-docker-container-path-stat']), 'base64').toString());
  assert.deepEqual([status, stat], [200, { name: 'stat', size: 6, mode: 2 ** 23 + 0o755, mtime: '2020-01-02T03:04:05Z', linkTarget: '' }]);
  const got = await call('GET', `/containers/${id}/archive?path=/link`);
  assert.equal(JSON.parse(Buffer.from(String(got.headers['x-docker-container-path-stat']), 'base64').toString()).linkTarget, '/data');
  assert.equal(got.headers['content-type'], 'application/x-tar');
  assert.deepEqual((await call('GET', `/containers/${id}/archive`)).status, 400);
  assert.deepEqual((await call('GET', `/containers/${id}/archive?path=/data/stat/`)).status, 400);
  assert.deepEqual((await call('HEAD', `/containers/${id}/archive?path=/nothing`)).status, 404);
  assert.deepEqual((await call('PUT', `/containers/${id}/archive?path=/data/stat`, Buffer.alloc(1024))).status, 400);
  assert.deepEqual((await call('PUT', `/containers/${id}/archive?path=/data`, Buffer.from('x'.repeat(2000)))).status, 400);
});

test('docker diff and export', async () => {
  const { id: other } = await bench.bench.start(
    'rm /bin/yes; echo x > /etc/group; mkdir -p /new/below; touch /new/below/x; exec sleep 1000',
  );
  await bench.bench.engine.execSync(other, { command: ['sh', '-c', 'until test -e /new/below/x; do :; done'], timeoutMs: 10_000 });
  const lines = (await bench.docker('diff', other)).toString().trim().split('\n').sort();
  assert.deepEqual(lines, ['A /new', 'A /new/below', 'A /new/below/x', 'C /bin', 'C /etc', 'C /etc/group', 'D /bin/yes']);
  const file = join(here, 'export.tar');
  await bench.docker('export', '-o', file, other);
  const names = execFileSync('tar', ['tf', file], { encoding: 'utf8' }).split('\n');
  assert.ok(names.includes('new/below/x') && names.includes('bin/busybox') && !names.includes('bin/yes'));
  assert.ok(!names.some(name => name.startsWith('proc/') && name !== 'proc/'), 'nothing of what is mounted');
  rmSync(file);
});

test('a client that vanishes in the middle hinders nobody', async () => {
  await inside('dd if=/dev/zero of=/big bs=1M count=50 2>/dev/null');
  const asked = request({ socketPath: bench.socketPath, path: `/containers/${id}/archive?path=/big` }).end();
  const [answer] = await once(asked, 'response');
  await once(answer, 'data');
  asked.destroy();
  const put = request({
    socketPath: bench.socketPath,
    method: 'PUT',
    path: `/containers/${id}/archive?path=/data`,
    headers: { 'content-length': 1 << 20 },
  });
  put.on('error', () => {});
  put.write(Buffer.alloc(1000));
  await new Promise(resolve => setImmediate(resolve));
  put.destroy();
  await bench.docker('cp', `${id}:/big`, join(here, 'big'));
  assert.equal(statSync(join(here, 'big')).size, 50 << 20);
  assert.ok(lstatSync(join(here, 'big')).isFile());
  assert.deepEqual(
    await json((await once(request({ socketPath: bench.socketPath, path: '/containers/zz/changes' }).end(), 'response'))[0]),
    { message: 'No such container: zz' },
  );
});

test('a long file takes no memory that a collection would have to free, in and out', async () => {
  const file = join(here, 'long');
  execFileSync('truncate', ['-s', '200M', file]);
  const most = await mostBuffered(async () => {
    await bench.docker('cp', file, `${id}:/data/long`);
    await bench.docker('cp', `${id}:/data/long`, join(here, 'back'));
  });
  assert.equal(statSync(join(here, 'back')).size, 200 << 20);
  assert.ok(most < 8 << 20, `${most} bytes`);
  await inside('rm /data/long');
});
