import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { BuilderBench } from './testing.ts';

let bench: BuilderBench;
before(async () => {
  bench = await BuilderBench.open('utbuild');
});
after(() => bench[Symbol.asyncDispose]());

test('a build runs commands over an image, copies files, and is done at once the second time', async () => {
  const dockerfile = 'FROM busybox\nENV A=1\nWORKDIR /app\nCOPY src/ ./\nRUN cat x && echo made > y && id -u\nUSER web\nCMD ["cat","y"]\n';
  const files = [
    { name: 'src/', mode: 0o750 },
    { name: 'src/x', content: 'hello\n', mode: 0o640, mtime: 1_000_000_000 },
  ];
  const first = await bench.build(dockerfile, files, { names: ['docker.io/library/app:1'] });
  assert.equal(first.output, 'hello\n0\n');
  assert.match(await bench.run('app:1', 'pwd; ls -ln x; cat y; echo $A'), /^\/app\n-rw-r----- +1 0 +0 +6 Sep +9 +2001 x\nmade\n1\n$/);
  const record = await bench.images.inspect('app:1');
  assert.equal(record.id, first.id);
  const second = await bench.build(dockerfile, files, { names: ['docker.io/library/app:1'] });
  assert.equal(second.id, first.id);
  assert.deepEqual(second.ran, []);
});
