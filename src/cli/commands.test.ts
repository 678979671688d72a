import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { printEnvironment, shellQuoted } from './env.ts';
import { execPath, exitCodeOf } from './exec.ts';
import { mergeKubeconfig, planMerge } from './kubeconfig.ts';
import { logPath } from './logs.ts';
import { painter, toAge, toSize, toTable, visible } from './terminal.ts';
import { captureStreams } from './testing.ts';

test('tables align, and do not obey what they show', () => {
  assert.equal(
    toTable(
      ['A', 'B'],
      [
        ['longer', 'x'],
        ['y', ''],
      ],
    ),
    'A        B\nlonger   x\ny\n',
  );
  assert.equal(visible(`a${String.fromCharCode(27)}[2Jb`), 'a\\x1b[2Jb');
});

test('ages and sizes', () => {
  assert.deepEqual([5_000, 119_000, 600_000, 10_800_000, 200_000_000].map(toAge), ['5s', '119s', '10m', '3h', '2d']);
  assert.deepEqual([12, 1200, 40_000_000, 1_500_000_000].map(toSize), ['12 B', '1.2 kB', '40 MB', '1.5 GB']);
});

test('colour is for terminals that want it', () => {
  assert.equal(painter({ isTTY: true }, {})('red', 'x'), '\x1b[31mx\x1b[0m');
  assert.equal(painter({ isTTY: true }, { NO_COLOR: '1' })('red', 'x'), 'x');
  assert.equal(painter({ isTTY: false }, {})('red', 'x'), 'x');
});

test('env prints lines for a shell, whatever is in the paths', () => {
  const { streams, out } = captureStreams();
  printEnvironment(streams, 'text', { kubeconfig: "/a b/it's", dockerSocket: '/run/x/docker.sock', criSocket: '/run/x/cri.sock' });
  const lines = [
    "export KUBECONFIG='/a b/it'\\''s'",
    'export DOCKER_HOST=unix:///run/x/docker.sock',
    'export CONTAINER_RUNTIME_ENDPOINT=unix:///run/x/cri.sock',
  ];
  assert.equal(out(), `${lines.join('\n')}\n`);
  assert.equal(shellQuoted('$(id)'), "'$(id)'");
});

test('a kubeconfig is merged: the same names are replaced, all else stays', async () => {
  const own = {
    clusters: [{ name: 'umiak' }],
    users: [{ name: 'admin' }],
    contexts: [{ name: 'admin@umiak' }],
    'current-context': 'admin@umiak',
  };
  const merged = planMerge({ clusters: [{ name: 'umiak' }, { name: 'other' }], 'current-context': 'other' }, own);
  assert.deepEqual(
    merged.clusters?.map(({ name }) => name),
    ['other', 'umiak'],
  );
  assert.equal(merged['current-context'], 'admin@umiak');

  const directory = await mkdtemp(join(tmpdir(), `umiak-cli-${process.pid}-`));
  try {
    await writeFile(join(directory, 'own'), JSON.stringify(own));
    const into = join(directory, 'new', 'config');
    await mergeKubeconfig(captureStreams().streams, join(directory, 'own'), into);
    assert.match(await readFile(into, 'utf8'), /current-context: admin@umiak/);
    await assert.rejects(mergeKubeconfig(captureStreams().streams, join(directory, 'absent'), into), /umiak started|can't be read/);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});

test('paths of logs and exec', () => {
  assert.equal(
    logPath('web', { namespace: 'shop', tail: 0, isFollowing: true }),
    '/api/v1/namespaces/shop/pods/web/log?follow=true&tailLines=0',
  );
  assert.equal(logPath('web', { namespace: 'shop' }), '/api/v1/namespaces/shop/pods/web/log');
  assert.equal(
    execPath('web', ['sh', '-c', 'a b'], { namespace: 'shop', container: 'c', hasTerminal: true, isInteractive: true }),
    '/api/v1/namespaces/shop/pods/web/exec?command=sh&command=-c&command=a+b&container=c&stdin=true&stdout=true&tty=true',
  );
});

test('exit codes', () => {
  const ended = (message: string) => ({
    status: 'Failure' as const,
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message }] },
  });
  assert.equal(exitCodeOf({ status: 'Success' }), 0);
  assert.equal(exitCodeOf(ended('42')), 42);
  assert.throws(() => exitCodeOf(undefined), /connection ended/);
  assert.throws(() => exitCodeOf({ status: 'Failure', reason: 'InternalError', message: 'no such file' }), /no such file/);
});
