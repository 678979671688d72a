import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ManualClock, silentLog } from '#base/index.ts';
import type { Finding } from '#engine/doctor/index.ts';
import { readConfig } from './config.ts';
import { countFindings, StartFindings } from './start-findings.ts';

const finding = (about: string, state: Finding['state']): Finding => ({ area: 'kernel', about, state, says: '' });

test('an agent hears what was found in this boot at once, and what is so now later', async () => {
  const runDir = mkdtempSync(join(tmpdir(), 'umiak-findings-'));
  try {
    const config = await readConfig({ runDir }, {});
    const told: string[] = [];
    const open = async (bootId: string, about: string) => {
      const clock = new ManualClock();
      const looked = Promise.withResolvers<void>();
      const tell = (findings: readonly Finding[]) => void told.push(findings.map(each => each.about).join());
      const examine = async () => {
        setImmediate(looked.resolve);
        return [finding(about, 'missing')];
      };
      await using _ = new StartFindings({ config, bootId, tell, examine, clock, log: silentLog });
      told.push('started');
      clock.advance(5_000);
      await looked.promise;
    };
    await open('1', 'first');
    await open('1', 'second');
    await open('2', 'third');
    writeFileSync(join(runDir, 'doctor.json'), '{"bootId":"2","fin');
    await open('2', 'fourth');
    assert.deepEqual(told, ['started', 'first', 'first', 'started', 'second', 'started', 'third', 'started', 'fourth']);
  } finally {
    rmSync(runDir, { recursive: true });
  }
});

test('a doctor that fails says nothing, and an agent that ends does not wait for one', async () => {
  const runDir = mkdtempSync(join(tmpdir(), 'umiak-findings-'));
  try {
    const config = await readConfig({ runDir }, {});
    const clock = new ManualClock();
    const tell = () => assert.fail('nothing was found');
    const examine = (signal: AbortSignal) =>
      new Promise<Finding[]>((_, reject) => signal.addEventListener('abort', () => reject(new Error('ended')), { once: true }));
    const findings = new StartFindings({ config, bootId: '1', tell, examine, clock, log: silentLog });
    clock.advance(5_000);
    await findings[Symbol.asyncDispose]();
  } finally {
    rmSync(runDir, { recursive: true });
  }
});

test('findings are counted', () => {
  assert.deepEqual(countFindings([finding('a', 'ok'), finding('b', 'missing'), finding('c', 'ok')]), { ok: 2, fallsBack: 0, missing: 1 });
});
