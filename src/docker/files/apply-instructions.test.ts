import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isUmiakError } from '#base/errors.ts';
import type { ContainerConfig } from '#images/index.ts';
import { applyInstructions } from './apply-instructions.ts';
import { toImageConfig } from './image-config.ts';
import { namesOf } from './image-names.ts';

const base: ContainerConfig = { Env: ['PATH=/bin', 'A=1'], Cmd: ['sh'], Labels: { old: 'yes' }, WorkingDir: '/srv' };

const changes: [changes: string[], expected: ContainerConfig][] = [
  [[], base],
  [['CMD ["a", "b c"]'], { ...base, Cmd: ['a', 'b c'] }],
  [['cmd echo $A'], { ...base, Cmd: ['/bin/sh', '-c', 'echo $A'] }],
  [['ENTRYPOINT ["/e"]', 'USER 5:6', 'STOPSIGNAL SIGINT'], { ...base, Entrypoint: ['/e'], User: '5:6', StopSignal: 'SIGINT' }],
  [['ENV A=2 B="x y"', 'ENV C=$B'], { ...base, Env: ['PATH=/bin', 'A=2', 'B=x y', 'C=x y'] }],
  [['EXPOSE 80 90/udp'], { ...base, ExposedPorts: { '80/tcp': {}, '90/udp': {} } }],
  [['LABEL new="a b" old=no'], { ...base, Labels: { old: 'no', new: 'a b' } }],
  [['VOLUME /data', 'WORKDIR below'], { ...base, Volumes: { '/data': {} }, WorkingDir: '/srv/below' }],
  [['ONBUILD RUN make'], { ...base, OnBuild: ['RUN make'] }],
  [['HEALTHCHECK NONE'], { ...base, Healthcheck: { Test: ['NONE'] } }],
];

for (const [instructions, expected] of changes)
  test(`--change ${JSON.stringify(instructions)}`, () => assert.deepEqual(applyInstructions(base, instructions), expected));

for (const change of ['FROM x', 'RUN rm -rf /', 'COPY a b', 'ARG x', 'NONSENSE', 'EXPOSE many', 'ONBUILD FROM x', `ENV ${'x'.repeat(100)}`])
  test(`--change ${change.slice(0, 20)} is refused`, () =>
    assert.throws(
      () => applyInstructions(base, [change]),
      error => isUmiakError(error, 'Invalid') || isUmiakError(error, 'BadRequest'),
    ));

test('an image keeps of a container’s configuration what does not belong to one run', () => {
  const config = {
    Hostname: 'h',
    Tty: true,
    Image: 'busybox',
    Env: [],
    Cmd: ['x'],
    Labels: {},
    User: '',
    Volumes: { '/v': {} },
    StopTimeout: 3,
  };
  assert.deepEqual(toImageConfig(config), { Cmd: ['x'], Volumes: { '/v': {} } });
});

test('names by repo and tag', () => {
  const names = (query: string) => namesOf(new URLSearchParams(query));
  assert.deepEqual(names('repo=a'), ['docker.io/library/a:latest']);
  assert.deepEqual(names('repo=host:5000/a/b&tag=2'), ['host:5000/a/b:2']);
  assert.deepEqual(names('tag=2'), []);
  assert.throws(
    () => names(`repo=a@sha256:${'0'.repeat(64)}`),
    error => isUmiakError(error, 'BadRequest'),
  );
  assert.throws(() => names('repo=UPPER'));
});
