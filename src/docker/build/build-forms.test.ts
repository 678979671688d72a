import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import type { BuildEvent } from '#builder/index.ts';
import { BuildOutput } from './build-output.ts';
import { parseBuildParameters } from './build-parameters.ts';
import { parsePrune } from './plan-prune-query.ts';

/** What a client would read. */
function outputOf(tell: (output: BuildOutput) => void, { isQuiet = false, writableLength = 0 } = {}): string {
  const lines: string[] = [];
  const response = {
    headersSent: false,
    destroyed: false,
    writableLength,
    writeHead() {
      response.headersSent = true;
    },
    write: (line: string) => lines.push(line),
    end() {},
  };
  tell(new BuildOutput({ response: response as unknown as ServerResponse, tellsRemoval: true, isQuiet }));
  return lines
    .map(line => JSON.parse(line) as { stream?: string; error?: string; aux?: unknown })
    .map(line => line.stream ?? JSON.stringify(line))
    .join('');
}

const plan: BuildEvent = {
  type: 'plan',
  warnings: [],
  steps: [
    { text: 'FROM a', vertex: 0, isFrom: true, imageId: 'sha256:0123456789abcdef' },
    { text: 'RUN one', vertex: 1 },
    { text: 'FROM a AS b', vertex: 0, isFrom: true, imageId: 'sha256:0123456789abcdef' },
    { text: 'RUN two', vertex: 2 },
  ],
};
const said = (vertex: number, text: string | Buffer, stream: 'stdout' | 'stderr' = 'stdout'): BuildEvent => ({
  type: 'output',
  vertex,
  chunk: Buffer.from(text),
  stream,
});
const done = (vertex: number): BuildEvent => ({ type: 'done', vertex, id: `${vertex}`.repeat(64) });

test('steps that run side by side are told in their order; the last one is the image', () => {
  const text = outputOf(output => {
    output.tell(plan);
    output.tell(done(0));
    output.tell({ type: 'running', vertex: 2, containerId: 'c2'.repeat(32) });
    output.tell(said(2, 'from two\n'));
    output.tell(done(2));
    output.tell({ type: 'running', vertex: 1, containerId: 'c1'.repeat(32) });
    const [euro] = [Buffer.from('€')];
    output.tell(said(1, euro.subarray(0, 1)));
    output.tell(said(1, Buffer.concat([euro.subarray(1), Buffer.from('\n')])));
    output.tell(said(1, 'bad\n', 'stderr'));
    output.tell(done(1));
    output.end(`sha256:${'f'.repeat(64)}`, ['app:1']);
  });
  assert.equal(
    text,
    [
      'Step 1/4 : FROM a\n ---> 0123456789ab\n',
      'Step 2/4 : RUN one\n ---> Running in c1c1c1c1c1c1\n€\n\u001b[91mbad\n\u001b[0m ---> Removed intermediate container c1c1c1c1c1c1\n ---> 111111111111\n',
      'Step 3/4 : FROM a AS b\n ---> 0123456789ab\n',
      'Step 4/4 : RUN two\n ---> Running in c2c2c2c2c2c2\nfrom two\n ---> Removed intermediate container c2c2c2c2c2c2\n ---> ffffffffffff\n',
      `{"aux":{"ID":"sha256:${'f'.repeat(64)}"}}Successfully built ffffffffffff\nSuccessfully tagged app:1\n`,
    ].join(''),
  );
});

test('a stage that begins with another one does not tell its steps again', () => {
  const text = outputOf(output => {
    output.tell({
      type: 'plan',
      warnings: [],
      steps: [
        { text: 'FROM a AS b', vertex: 0, isFrom: true, imageId: 'sha256:0123456789abcdef' },
        { text: 'RUN one', vertex: 1 },
        { text: 'FROM b', vertex: 1, isFrom: true },
        { text: 'RUN two', vertex: 2 },
      ],
    });
    output.tell(done(0));
    output.tell({ type: 'running', vertex: 1, containerId: 'c1'.repeat(32) });
    output.tell(said(1, 'once\n'));
    output.tell(done(1));
  });
  assert.equal(text.match(/once/g)?.length, 1);
  assert.match(text, /Step 3\/4 : FROM b\n ---> 111111111111\nStep 4\/4/);
});

test('what waits too long or is read too slowly is clipped once, and says so', () => {
  const held = outputOf(output => {
    output.tell(plan);
    for (let i = 0; i < 100; i++) output.tell(said(2, 'x'.repeat(100_000)));
    for (const vertex of [0, 1, 2]) output.tell(done(vertex));
  });
  assert.ok(held.length < 3_000_000);
  assert.equal(held.match(/clipped/g)?.length, 1);
  const slow = outputOf(
    output => {
      output.tell(plan);
      output.tell(done(0));
      for (let i = 0; i < 10; i++) output.tell(said(1, 'never read'));
    },
    { writableLength: 1 << 30 },
  );
  assert.doesNotMatch(slow, /never read/);
  assert.equal(slow.match(/clipped/g)?.length, 1);
});

test('a quiet build says the id alone, or everything when it fails', () => {
  const ended = (output: BuildOutput) => {
    output.tell(plan);
    output.end('sha256:abc', ['x']);
  };
  assert.equal(outputOf(ended, { isQuiet: true }), 'sha256:abc\n');
  const failing = (output: BuildOutput) => {
    output.tell(plan);
    output.fail('no', 3);
  };
  const failed = outputOf(failing, { isQuiet: true });
  assert.equal(failed, 'Step 1/4 : FROM a\n{"errorDetail":{"code":3,"message":"no"},"error":"no"}');
});

test('the query of a build: what it says, and what is refused by its name', () => {
  const query = new URLSearchParams([
    ['t', 'app'],
    ['t', 'app:latest'],
    ['dockerfile', './d/Dockerfile'],
    ['buildargs', '{"A":"b","NONE":null}'],
    ['labels', '{"l":"m"}'],
    ['ulimits', '[{"Name":"nofile","Soft":1,"Hard":2}]'],
    ['memory', '1024'],
    ['memswap', '-1'],
    ['networkmode', 'host'],
    ['extrahosts', 'a:1.2.3.4,b:host-gateway'],
    ['rm', '0'],
  ]);
  assert.deepEqual(parseBuildParameters(query), {
    names: ['docker.io/library/app:latest'],
    dockerfile: 'd/Dockerfile',
    remote: '',
    isQuiet: false,
    noCache: false,
    pulls: false,
    buildArgs: new Map([['A', 'b']]),
    labels: new Map([['l', 'm']]),
    cacheFrom: [],
    target: '',
    platform: '',
    buildId: '',
    tellsRemoval: false,
    run: {
      resources: { memoryLimitBytes: 1024, memorySwapLimitBytes: -1 },
      rlimits: [{ type: 'RLIMIT_NOFILE', soft: 1, hard: 2 }],
    },
    networkMode: 'host',
    extraHosts: ['a:1.2.3.4', 'b:host-gateway'],
  });
  const refused: [string, RegExp][] = [
    ['version=2', /version 2 \(BuildKit\)/],
    ['squash=1', /squash/],
    ['outputs=%5B%7B%7D%5D', /--output/],
    ['isolation=hyperv', /unsupported isolation: hyperv/],
    ['t=a@sha256:0', /invalid reference format/],
    ['buildargs=%5B', /buildargs is not JSON/],
    ['buildargs=%7B%22a%22:1%7D', /buildargs a must be a string/],
    ['cachefrom=%7B%7D', /cachefrom must be a JSON list/],
    ['memory=lots', /memory must be a whole number/],
    ['extrahosts=nothing', /bad format for add-host/],
    ['platform=x', /unknown operating system or architecture/],
    ['q=perhaps', /q must be a boolean/],
  ];
  for (const [text, message] of refused) assert.throws(() => parseBuildParameters(new URLSearchParams(text)), message, text);
});

test('the query of a prune', () => {
  assert.deepEqual(parsePrune(new URLSearchParams({ filters: '{"until":["24h"],"id":{"x":true}}', 'keep-storage': '5' }), 0), {
    unusedForMs: 86_400_000,
    ids: ['x'],
    maxBytes: 5,
  });
  assert.throws(() => parsePrune(new URLSearchParams({ filters: '{"nothing":["x"]}' }), 0), /invalid filter 'nothing'/);
  assert.throws(() => parsePrune(new URLSearchParams({ filters: '{"until":["soon"]}' }), 0), /until=soon/);
});
