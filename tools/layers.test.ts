import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkFile, FLOORS, readImports } from './layers.ts';

const rules = { packages: ['koffi', '@peculiar/x509'] };
const messages = (file: string, source: string) => checkFile(file, source, rules).map(({ line, message }) => `${line}: ${message}`);

test('every way of importing is read, with its line', () => {
  const source = [
    "import type { Store } from '#store/store.ts';",
    "import { type Clock, systemClock } from '#base/clock.ts';",
    "export * from './a.ts';",
    "export type { B } from './b.ts';",
    "export { c } from './c.ts';",
    "export type Local = { from: 'nowhere' };",
    'const lazily = async () => {',
    "  await using part = await (await import('./lazy.ts')).open(); // import('./not-this.ts')",
    '  return part;',
    '};',
    "const worker = new URL('./x-worker.ts', import.meta.url);",
    "const other = new URL('https://example.org/x.ts');",
    "const text = `import z from './not-that.ts'`;",
  ].join('\n');
  assert.deepEqual(
    readImports(source).map(({ specifier, line }) => `${line} ${specifier}`),
    ['1 #store/store.ts', '2 #base/clock.ts', '3 ./a.ts', '4 ./b.ts', '5 ./c.ts', '8 ./lazy.ts', '11 ./x-worker.ts'],
  );
});

test('what does not parse is named', () => {
  assert.throws(() => readImports('const = 1', 'src/base/broken.ts'), /src\/base\/broken\.ts/);
});

const cases: [name: string, file: string, source: string, expected: string[]][] = [
  ['down is fine', 'src/store/x.ts', "import { a } from '#base/a.ts';", []],
  ['within a domain is fine', 'src/store/deep/x.ts', "import { a } from '../a.ts';", []],
  ['up', 'src/base/x.ts', "\nimport { a } from '#main/a.ts';", ["2: imports upwards: 'base' is on floor 0, 'main' on 9"]],
  [
    'up for a type only',
    'src/base/x.ts',
    "import type { A } from '#store/a.ts';",
    ["1: imports upwards: 'base' is on floor 0, 'store' on 2"],
  ],
  ['sideways', 'src/node/x.ts', "await import('#network/a.ts');", ["1: imports sideways: 'node' and 'network' share floor 6"]],
  ['a relative way out', 'src/store/x.ts', "import '../base/a.ts';", ["1: reaches into 'base' by a relative path: write '#base/a.ts'"]],
  ['out of src', 'src/store/x.ts', "import '../../tools/a.ts';", ["1: '../../tools/a.ts' leaves src/"]],
  ['from the tests', 'src/store/x.ts', "import '#tests/a.ts';", ["1: '#tests/a.ts' leaves src/"]],
  ['an unknown target', 'src/store/x.ts', "import '#attic/a.ts';", ["1: 'attic' is no domain of the floor table"]],
  ['an unknown folder', 'src/attic/x.ts', '', ["1: 'attic' is no domain of the floor table"]],
  ['a file outside the domains', 'src/x.ts', '', ['1: stands outside every domain: move it into a folder of the floor table']],
  [
    'a worker upstairs',
    'src/net/x.ts',
    "new URL('../engine/w.ts', import.meta.url)",
    ["1: reaches into 'engine' by a relative path: write '#engine/w.ts'"],
  ],
  ['a known package', 'src/linux/x.ts', "import koffi from 'koffi'; import '@peculiar/x509/deep';", []],
  ['an unknown package', 'src/linux/x.ts', "import 'left-pad';", ["1: 'left-pad' is no runtime dependency of package.json"]],
  ['a bare builtin', 'src/linux/x.ts', "import 'fs';", ["1: write 'node:fs'"]],
  ['what tests use looks anywhere', 'src/client/client-suite.ts', "import '#tests/a.ts'; import 'node:test';", []],
  ['the product without test aids', 'src/client/x.ts', "import './testing.ts';", ["1: './testing.ts' is for tests only"]],
  ['tests look anywhere', 'src/client/x.test.ts', "import '#apiserver/a.ts'; import 'left-pad';", []],
];
for (const [name, file, source, expected] of cases) test(`layers: ${name}`, () => assert.deepEqual(messages(file, source), expected));

test('no domain stands on two floors', () => {
  const all = FLOORS.flat();
  assert.equal(new Set(all).size, all.length);
});
