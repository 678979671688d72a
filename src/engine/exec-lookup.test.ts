import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { planCandidates, planRefusal, refuseExec } from './exec-lookup.ts';
import type { OciProcess } from './oci-types.ts';

test('a program is looked for along PATH; what only the kernel can tell is left to it', () => {
  for (const [command, env, candidates] of [
    ['sh', ['PATH=/bin:/usr/bin'], ['/bin/sh', '/usr/bin/sh']],
    ['sh', ['PATH=:relative:/bin'], ['/bin/sh']],
    ['sh', [], []],
    ['/bin/sh', ['PATH=/usr/bin'], ['/bin/sh']],
    ['./run', ['PATH=/bin'], []],
    ['/proc/self/exe', ['PATH=/bin'], []],
  ] as const)
    assert.deepEqual(planCandidates({ args: [command], env: [...env] }), candidates, command);
});

test('a refusal says what is missing, with the code a shell would give', () => {
  for (const [command, found, refusal] of [
    ['sh', ['nothing', 'program'], undefined],
    ['sh', [], undefined],
    ['bash', ['nothing', 'nothing'], { exitCode: 127, message: 'exec: "bash": executable file not found in $PATH' }],
    ['/bash', ['nothing'], { exitCode: 127, message: 'exec: "/bash": no such file or directory' }],
    ['etc', ['nothing', 'other'], { exitCode: 126, message: 'exec: "etc": permission denied' }],
  ] as const)
    assert.deepEqual(planRefusal(command, found), refusal, command);
});

test("links are followed below the container's root, not below ours", () => {
  const root = mkdtempSync(join(tmpdir(), `exec-lookup-${process.pid}-`));
  try {
    writeFileSync(`${root}/program`, '', { mode: 0o755 });
    writeFileSync(`${root}/text`, '', { mode: 0o644 });
    symlinkSync('/program', `${root}/inside`);
    symlinkSync('/bin/sh', `${root}/outside`);
    const code = (command: string, cwd = '/') =>
      refuseExec(root, { args: [command], env: ['PATH=/'], cwd } as unknown as OciProcess)?.exitCode;
    assert.deepEqual(
      ['program', 'inside', '/outside', 'text', 'nothing'].map(command => code(command)),
      [undefined, undefined, 127, 126, 127],
    );
    mkdirSync(`${root}/directory`);
    symlinkSync('/directory', `${root}/there`);
    const directories = ['/directory', '/there', '/proc/self', '/nothing', '/text', 'directory'];
    assert.deepEqual(
      directories.map(directory => code('program', directory)),
      [undefined, undefined, undefined, 127, 126, 127],
    );
  } finally {
    rmSync(root, { recursive: true });
  }
});
