import assert from 'node:assert/strict';
import { test } from 'node:test';
import { matchesShown, readTour } from './tour.ts';

const page = (tour: string) => `# x\n<!-- tour: a note -->\n${tour}<!-- end of tour -->\n\`\`\`sh\nnot this\n\`\`\`\n`;

test('blocks are read in order, with the output below them', () => {
  assert.deepEqual(readTour(page('Do:\n```sh\na\nb\n```\nand\n```sh\nc\n```\n\n```text\nd …\n```\n')), [
    { script: 'a\nb\n', shows: undefined },
    { script: 'c\n', shows: 'd …\n' },
  ]);
});

test('a page without marks, and an output below nothing, are refused', () => {
  assert.throws(() => readTour('# x\n'), /marks/);
  assert.throws(() => readTour(page('```text\nd\n```\n')), /no block/);
});

for (const [shows, output, matches] of [
  ['a   b\n', 'a b', true],
  ['pod api-… runs', 'pod api-x2 runs\n', true],
  ['pod api-… runs', 'pod api-x2 does not', false],
  ['a\n…', 'a\nb\nc\n', true],
  ['(a.b)', '(axb)', false],
] as const) {
  test(`${JSON.stringify(output)} ${matches ? 'is' : 'is not'} what ${JSON.stringify(shows)} shows`, () =>
    assert.equal(matchesShown(shows, output), matches));
}
