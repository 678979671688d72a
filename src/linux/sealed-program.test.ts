import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, copyFileSync, mkdtempSync, openSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { SealedProgram } from './sealed-program.ts';

describe('a sealed program', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sealed-'));
  after(() => rmSync(directory, { recursive: true, force: true }));
  const program = join(directory, 'said');
  const link = join(directory, 'programs/said');
  const sealed = new SealedProgram({ program, link });

  it('runs under its name, and nobody can write to it', () => {
    copyFileSync('/bin/echo', program);
    assert.equal(sealed.path, link);
    assert.equal(execFileSync(link, ['hello']).toString(), 'hello\n');
    assert.throws(() => appendFileSync(link, 'more'), { code: 'EPERM' });
    assert.throws(() => openSync(link, 'w'), { code: 'EPERM' });
  });

  it('is made again when the program has changed, and is the program itself when that is gone', () => {
    rmSync(program);
    copyFileSync('/bin/true', program);
    assert.equal(execFileSync(sealed.path).toString(), '');
    rmSync(program);
    assert.equal(sealed.path, program);
  });

  it('takes over what another process left, also one that had our pid and was killed on the way', () => {
    copyFileSync('/bin/echo', program);
    symlinkSync('/nowhere', `${link}.${process.pid}`);
    const next = new SealedProgram({ program, link });
    assert.equal(execFileSync(next.path, ['again']).toString(), 'again\n');
  });

  it('leaves scripts where they are', () => {
    writeFileSync(program, '#!/bin/sh\necho $0\n', { mode: 0o755 });
    assert.equal(sealed.path, program);
  });
});
