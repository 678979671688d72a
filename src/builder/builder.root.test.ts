import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { buildTar } from '#images/fixtures.ts';
import { exitCodeOf } from './run-step.ts';
import { BuilderBench } from './testing.ts';

let bench: BuilderBench;
before(async () => {
  bench = await BuilderBench.open('utbuild');
});
after(() => bench[Symbol.asyncDispose]());

const app = 'docker.io/library/app:1';

test('commands run over an image with files copied in; the second time all is known, and it is the same image', async () => {
  const dockerfile =
    'FROM busybox\nENV A=1\nWORKDIR /app\nCOPY src/ ./\nRUN cat x && echo made > y && id -u && echo err >&2\nUSER web\nCMD ["cat","y"]\n';
  const files = [
    { name: 'src/', mode: 0o750 },
    { name: 'src/x', content: 'hello\n', mode: 0o640, mtime: 1_000_000_000 },
  ];
  const first = await bench.build(dockerfile, files, { names: [app] });
  assert.deepEqual(first.output.split('\n').sort(), ['', '0', 'err', 'hello']);
  assert.match(await bench.run('app:1', 'pwd; ls -ln x; cat y; echo $A'), /^\/app\n-rw-r----- +1 0 +0 +6 Sep +9 +2001 x\nmade\n1\n$/);
  const record = await bench.images.inspect('app:1');
  assert.equal(record.id, first.id);
  assert.deepEqual(record.config.config?.Cmd, ['cat', 'y']);
  assert.equal(record.config.config?.User, 'web');
  const second = await bench.build(dockerfile, [files[0]!, { ...files[1]!, mtime: 5 }], { names: [app] });
  assert.equal(second.id, first.id);
  assert.deepEqual(second.ran, []);
  const changed = await bench.build(dockerfile, [files[0]!, { ...files[1]!, content: 'other\n' }], { names: [app] });
  assert.deepEqual(changed.cached, ['ENV A=1', 'WORKDIR /app']);
  assert.match(changed.output, /^other\n/);
  assert.deepEqual((await bench.build(dockerfile, files, { noCache: true })).cached, []);
});

test('what is known outlives the process; what is half made does not', async () => {
  const dockerfile = 'FROM busybox\nRUN echo kept > /kept\n';
  await bench.build(dockerfile);
  await bench.builder.settled();
  await bench.reopen();
  const again = await bench.build(dockerfile);
  assert.deepEqual(again.ran, []);
});

test('a layer holds what a step changed, and nothing that the runtime needed', async () => {
  const { id } = await bench.build(
    'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox","mkdir","/made"]\nRUN ["/bin/busybox","true"]\n',
    [{ name: 'busybox', mode: 0o755, content: readFileSync('/bin/busybox') }],
  );
  const record = await bench.images.inspect(id);
  assert.deepEqual(
    (record.config.history ?? []).map(({ empty_layer = false }) => empty_layer),
    [false, false, true],
  );
  const [upper] = record.layers;
  assert.deepEqual(readdirSync(upper!), ['made']);
  assert.deepEqual(record.config.config?.Env, ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin']);
});

test('the history says what was copied: a file, a directory, several', async () => {
  const files = ['d/a', 'd/b', 'c'].map(name => ({ name, content: name }));
  const { id } = await bench.build('FROM scratch\nCOPY c /c\nCOPY d /d\nADD d/* /e/\nCOPY --chown=1 c d /f/\n', files);
  const { history = [] } = (await bench.images.inspect(id)).config;
  assert.deepEqual(
    history.map(({ created_by = '' }) => created_by.replace(/[0-9a-f]{64}/, 'H')),
    ['COPY file:H in /c', 'COPY dir:H in /d', 'ADD multi:H in /e/', 'COPY --chown=1multi:H in /f/'].map(
      said => `/bin/sh -c #(nop) ${said} `,
    ),
  );
});

test('a Dockerfile that begins with nothing and adds nothing makes no image', async () => {
  const empty = { message: 'No image was generated. Is your Dockerfile empty?' };
  await assert.rejects(bench.build('FROM scratch\n'), empty);
  await assert.rejects(bench.build('FROM scratch AS one\nFROM one\n'), empty);
  assert.match((await bench.build('FROM scratch\nLABEL a=b\n')).id, /^sha256:/);
  assert.match((await bench.build('FROM scratch\n', [], { labels: new Map([['a', 'b']]) })).id, /^sha256:/);
});

test('a Dockerfile that adds nothing names what it begins with', async () => {
  const { id } = await bench.build('FROM busybox\n', [], { names: ['docker.io/library/other:1'] });
  assert.equal(id, (await bench.images.inspect('busybox')).id);
  assert.deepEqual((await bench.images.inspect('other:1')).repoTags, ['docker.io/library/busybox:latest', 'docker.io/library/other:1']);
});

test('stages run side by side; those that nobody needs do not; a copy that came to the same ends the work', async () => {
  const dockerfile = (salt: string) =>
    [
      'FROM busybox AS one',
      `RUN echo ${salt} > /salt; echo one > /out; sleep 0.4`,
      'FROM busybox AS two',
      'RUN echo two > /out; sleep 0.4',
      'FROM busybox AS unused',
      'RUN false',
      'FROM busybox',
      'COPY --from=one /out /one',
      'COPY --from=1 --chown=web:web --chmod=600 /out /two',
      'RUN cat /one /two; stat -c "%u:%g %a" /two',
    ].join('\n');
  const built = await bench.build(dockerfile('a'));
  const order = built.events.filter(({ type }) => type === 'running' || type === 'output').map(({ type }) => type);
  assert.deepEqual(order.slice(0, 2), ['running', 'running'], 'side by side');
  assert.equal(built.output, 'one\ntwo\n1000:1001 600\n');
  const again = await bench.build(dockerfile('b'));
  assert.deepEqual(again.ran.length, 1, 'only the stage that changed runs');
  assert.equal(again.id, built.id);
});

test('the same step of several builds is done once', async () => {
  const dockerfile = 'FROM busybox\nRUN sleep 0.3; cat /proc/sys/kernel/random/uuid\n';
  const [one, two] = await Promise.all([bench.build(dockerfile), bench.build(dockerfile)]);
  assert.equal(one.output, two.output);
  assert.equal(one.id, two.id);
});

test('a command that fails says so with its code, and leaves nothing', async () => {
  const failing = bench.build('FROM busybox\nRUN echo before; exit 7\n');
  await assert.rejects(failing, error => {
    assert.equal((error as Error).message, "The command '/bin/sh -c echo before; exit 7' returned a non-zero code: 7");
    assert.equal(exitCodeOf(error), 7);
    return true;
  });
  assert.deepEqual(bench.bench.engine.sandboxes({ internal: true }), []);
});

test('a build that is given up ends its commands at once', async () => {
  const abort = new AbortController();
  const building = bench.build('FROM busybox\nRUN echo up; sleep 1000\n', [], {
    signal: abort.signal,
    onEvent: event => {
      if (event.type === 'output') abort.abort(new Error('given up'));
    },
  });
  await assert.rejects(building, /given up/);
  assert.deepEqual(bench.bench.engine.sandboxes({ internal: true }), []);
});

test('COPY: directories, wildcards, links, .dockerignore, what is not there, what leaves the context', async () => {
  const files = [
    { name: 'd/a.txt', content: 'a' },
    { name: 'd/sub/b.txt', content: 'b' },
    { name: 'd/c.log', content: 'c' },
    { name: 'link', type: 'symlink' as const, linkName: 'd/a.txt' },
    { name: 'evil', type: 'symlink' as const, linkName: '../../../../etc/passwd' },
    { name: 'e[1].txt', content: 'e' },
  ];
  const list = await bench.build(
    'FROM busybox\nCOPY d /all\nCOPY d/*.txt d/s?b /some/\nCOPY link /one\nCOPY e[[]1].txt /lib/e\nCOPY d/a.txt /tmp\nRUN find /all /some /one /usr/lib /tmp -type f | sort\n',
    files,
  );
  assert.equal(list.output, '/all/a.txt\n/all/c.log\n/all/sub/b.txt\n/one\n/some/a.txt\n/some/b.txt\n/tmp/a.txt\n/usr/lib/e\n');
  await assert.rejects(
    bench.build('FROM busybox\nCOPY nothing /\n'),
    /COPY failed: file not found in build context or excluded by .dockerignore: stat nothing: file does not exist/,
  );
  await assert.rejects(bench.build('FROM busybox\nCOPY ../x /\n'), /COPY failed: forbidden path outside the build context: \.\.\/x \(\)/);
  await assert.rejects(bench.build('FROM busybox\nCOPY evil /\n', files), /file does not exist/);
  await assert.rejects(
    bench.build('FROM busybox\nCOPY Dockerfile /\n', [{ name: '.dockerignore', content: 'Docker*' }]),
    /file does not exist/,
  );
});

test('names that leave the context are refused', async () => {
  for (const entry of [
    { name: '../x', content: '' },
    { name: 'a/../../x', content: '' },
  ])
    await assert.rejects(bench.build('FROM busybox\n', [entry]), /leaves the context/);
  await assert.rejects(bench.build('FROM busybox\n', [{ name: 'h', type: 'link', linkName: '/etc/passwd' }]), /hard link/);
});

test('ADD unpacks archives of the context, and fetches addresses', async () => {
  const inner = buildTar([
    { name: 'in/', mode: 0o700 },
    { name: 'in/file', content: 'unpacked', uid: 1000, gid: 1001, mode: 0o604 },
    { name: 'in/link', type: 'symlink', linkName: 'file' },
  ]);
  await using server = createServer((request, response) => response.end(request.url === '/remote.tar' ? inner : 'fetched')).listen(
    0,
    '127.0.0.1',
  );
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const { output } = await bench.build(
    `FROM busybox\nADD a.tar.gz b.tar.zst /to/\nADD plain.gz /to/\nADD http://127.0.0.1:${port}/x/name%20.txt http://127.0.0.1:${port}/remote.tar plain.gz /to/\nCOPY a.tar.gz /copied\nRUN cd /to; stat -c "%n %u %a" in/file b/in/link plain.gz 'name .txt'; cat in/link 'name .txt'; [ -f remote.tar ] && echo -n ' file'; [ -f /copied ] && echo; echo kept\n`,
    [
      { name: 'a.tar.gz', content: gzipSync(inner) },
      { name: 'b.tar.zst', content: zstdCompressSync(buildTar([{ name: 'b/in/link', content: 'x' }])) },
      { name: 'plain.gz', content: gzipSync('no archive') },
    ],
  );
  assert.equal(output, 'in/file 1000 604\nb/in/link 0 644\nplain.gz 0 644\nname .txt 0 600\nunpackedfetched file\nkept\n');
});

test('the base image’s triggers run, and are not handed on', async () => {
  await bench.build('FROM busybox\nONBUILD COPY x /x\nONBUILD RUN cat /x\n', [], { names: ['docker.io/library/parent:1'] });
  const { output, id } = await bench.build('FROM parent:1\nRUN echo own\n', [{ name: 'x', content: 'triggered\n' }]);
  assert.equal(output, 'triggered\nown\n');
  assert.equal((await bench.images.inspect(id)).config.config?.OnBuild, undefined);
});

test('arguments, targets, labels and the context compressed', async () => {
  const dockerfile = 'ARG BASE=nowhere\nFROM $BASE AS first\nARG GREETING=hi\nRUN echo $GREETING $http_proxy\nFROM first\nRUN false\n';
  const archive = gzipSync(buildTar([{ name: 'Dockerfile', content: dockerfile }]));
  const buildArgs = new Map([
    ['BASE', 'busybox'],
    ['GREETING', 'hello'],
    ['http_proxy', 'http://proxy'],
  ]);
  const { output, id } = await bench.build('', [], { archive, buildArgs, target: 'first', labels: new Map([['a', 'b']]) });
  assert.equal(output, 'hello http://proxy\n');
  const { config } = await bench.images.inspect(id);
  assert.deepEqual(config.config?.Labels, { a: 'b' });
  assert.match(config.history?.at(-2)?.created_by ?? '', /^\|1 GREETING=hello \/bin\/sh -c echo/);
  await assert.rejects(bench.build('FROM busybox\n', [], { target: 'nope' }), /target stage "nope" could not be found/);
});

test('--cache-from: an image’s layers are the results of the steps that it tells of', async () => {
  const dockerfile = 'FROM busybox\nLABEL a=b\nRUN cat /proc/sys/kernel/random/uuid > /uuid\nCOPY x /x\nRUN cat /uuid\n';
  const files = [{ name: 'x', content: 'x' }];
  const first = await bench.build(dockerfile, files, { names: ['docker.io/library/source:1'] });
  await bench.builder.settled();
  await bench.builder.prune({ all: true });
  assert.equal(bench.builder.entries().length, 0);
  const second = await bench.build(dockerfile, files, { cacheFrom: ['source:1', 'nowhere:1'] });
  assert.deepEqual(second.ran, []);
  assert.deepEqual((await bench.images.inspect(second.id)).config.rootfs, (await bench.images.inspect(first.id)).config.rootfs);
});

test('the cache is pruned by age and size, never what an image was just made of unless all is asked', async () => {
  await bench.build('FROM busybox\nRUN echo pruned > /pruned\n');
  await bench.builder.settled();
  await bench.builder.prune({});
  assert.ok(bench.builder.entries().length > 0);
  assert.deepEqual((await bench.builder.prune({ all: true, unusedForMs: 3_600_000 })).deleted, []);
  const { deleted, freedBytes } = await bench.builder.prune({ all: true });
  assert.ok(deleted.length > 0 && freedBytes > 0);
  assert.deepEqual(bench.builder.entries(), []);
});

test('what a build works with stays, whoever prunes meanwhile', async () => {
  const dockerfile = (salt: number) =>
    `FROM busybox AS one\nRUN echo ${salt} > /one\nFROM busybox\nCOPY --from=one /one /two\nRUN sleep 0.1; cat /two\n`;
  const abort = new AbortController();
  const pruning = (async () => {
    while (!abort.signal.aborted) {
      await bench.builder.prune({ all: true });
      await setImmediate();
    }
  })();
  try {
    for (let salt = 0; salt < 6; salt++) {
      const [one, two] = await Promise.all([bench.build(dockerfile(salt)), bench.build(dockerfile(salt))]);
      for (const { output } of [one, two]) if (output !== '') assert.equal(output, `${salt}\n`);
    }
  } finally {
    abort.abort();
    await pruning;
  }
});

test('COPY --from what would lie below a file', async () => {
  const building = bench.build('FROM busybox\nCOPY --from=busybox /etc/passwd/x /x\n');
  await assert.rejects(building, /COPY failed: .*\/etc\/passwd\/x: file does not exist/);
});
