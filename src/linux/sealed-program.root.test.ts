import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

const SETTING = '/proc/sys/vm/memfd_noexec';

// The setting is a PID namespace's, and never lowered.
test('where nothing in memory may be run, a program is run from where it lies', { skip: !existsSync(SETTING) }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'sealed-'));
  try {
    const program = join(directory, 'said');
    copyFileSync('/bin/echo', program);
    const script = `
      import { SealedProgram } from '${import.meta.dirname}/sealed-program.ts';
      console.log(new SealedProgram({ program: '${program}', link: '${directory}/programs/said' }).path);`;
    const inside = `echo 2 > ${SETTING} && exec "$0" --input-type=module -e "$1"`;
    const said = execFileSync('unshare', ['--fork', '--pid', '--mount-proc', 'sh', '-c', inside, process.execPath, script]);
    assert.equal(said.toString(), `${program}\n`);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
