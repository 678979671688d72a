import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { messageOf } from '#base/errors.ts';
import { seededRandom } from '#base/ids.ts';
import { parseDockerfile } from './parse.ts';
import { imageKey, planDockerfile, planNeeds } from './plan.ts';
import type { BaseImage } from './plan-stage.ts';

const GOLDEN = new URL('./plan.golden.txt', import.meta.url);
const BUILD_ARGS = new Map([
  ['GIVEN', 'given value'],
  ['http_proxy', 'http://proxy'],
  ['UNUSED', 'x'],
]);

/** What a Dockerfile comes to, as text for people: the images that it needs, its vertices, its configuration; or the error. */
function told(text: string): string {
  try {
    const parsed = parseDockerfile(text);
    const images = new Map<string, BaseImage>();
    for (;;) {
      const { wanted } = planNeeds(parsed, { buildArgs: BUILD_ARGS }, images);
      if (wanted.length === 0) break;
      for (const image of wanted) images.set(imageKey(image), imageOf(image.reference));
    }
    const { vertices, result, warnings, steps } = planDockerfile(parsed, { buildArgs: BUILD_ARGS }, images);
    return [
      ...[...images.keys()].map(key => `image ${key.trim()}`),
      ...vertices.map(
        ({ operation, base, createdBy }, i) => `${i} <- ${base ?? '-'} ${createdBy || '(image)'} ${JSON.stringify(operation)}`,
      ),
      `steps ${steps.map(({ vertex, isTrigger }) => `${isTrigger ? '*' : ''}${vertex}`).join(' ')}`,
      `result ${result.vertex}/${result.fileSystem} of ${result.chain.join(' ')}`,
      JSON.stringify(result.config),
      ...warnings,
    ].join('\n');
  } catch (error) {
    return `error: ${messageOf(error)}`;
  }
}

function imageOf(reference: string): BaseImage {
  const triggers = reference === 'triggering' ? { OnBuild: ['COPY . /src', 'COPY --from=tools /t /t'] } : {};
  const config = reference === 'rich' ? { Env: ['PATH=/p', 'OF=base'], Cmd: ['old'], WorkingDir: '/w', Shell: ['/bin/bash', '-c'] } : {};
  return { id: `sha256:${reference}`, diffIds: [`sha256:layer-of-${reference}`], config: { ...config, ...triggers } };
}

test('Dockerfiles come to these graphs, or are refused in these words (UPDATE=1 rewrites)', () => {
  const cases = readFileSync(GOLDEN, 'utf8')
    .split('\n=====\n')
    .map(each => each.split('\n-----\n')[0]!);
  const now = `${cases.map(input => `${input}\n-----\n${told(input.trimEnd())}`).join('\n=====\n')}\n`;
  if (process.env.UPDATE) writeFileSync(GOLDEN, now);
  assert.equal(now, readFileSync(GOLDEN, 'utf8'));
});

test('any text is a Dockerfile or refused in words, in time', () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1e9);
  const random = seededRandom(seed);
  const pieces = [
    'FROM ',
    'a',
    '\n',
    '\\\n',
    'RUN ',
    'COPY ',
    '--from=',
    'ENV ',
    'ARG ',
    '$',
    '{',
    '}',
    ':',
    '-',
    '+',
    '"',
    "'",
    '\\',
    ' ',
    '[',
    ']',
    ',',
    '#',
    '=',
    '0',
    'ONBUILD ',
    'AS ',
    '\t',
    'é',
    '\u0000',
    '<<EOF',
  ];
  for (let round = 0; round < 2000; round++) {
    const text = `FROM x\n${Array.from({ length: 40 }, () => pieces[Math.floor(random() * pieces.length)]).join('')}`;
    assert.doesNotMatch(told(text), /TypeError|not iterable|undefined|Maximum call/, `seed ${seed}: ${JSON.stringify(text)}`);
  }
});

test('a megabyte of anything is read and planned, or refused, in a moment', () => {
  const lines = (line: (i: number) => string) => `FROM scratch\n${Array.from({ length: 4900 }, (_, i) => line(i)).join('\n')}`;
  const hostile: [string, string][] = [
    ['variables', lines(i => (i % 2 ? `ENV A${i}=b` : 'RUN x'))],
    ['labels', lines(i => `LABEL a${i}=b`)],
    ['volumes', lines(i => `VOLUME /v${i}`)],
    ['triggers', lines(i => `ONBUILD RUN ${i}`)],
    ['ports', lines(() => 'EXPOSE 1-65535')],
    ['values that double', lines(() => 'ENV A=x$A$A')],
    ['long values in many places', `FROM scratch\nENV A=${'x'.repeat(100_000)}\n${'COPY $A /\n'.repeat(4900)}`],
    ['spaces before a continuation', `FROM scratch\nRUN a${' '.repeat(250_000)}x\\\n  y`],
    ['spaces in a directive', `# x=${' '.repeat(500_000)}y\nFROM scratch`],
  ];
  for (const [what, text] of hostile) {
    const begun = performance.now();
    told(text);
    assert.ok(performance.now() - begun < 5_000, what);
  }
});
