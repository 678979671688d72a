import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { EngineBench } from './test-bench.ts';

const PARSER = '/usr/sbin/apparmor_parser';
const PROFILE = 'umiak-test';
const RULES = `profile ${PROFILE} flags=(attach_disconnected,mediate_deleted) {
  file,
  capability,
  network,
  signal,
  deny /etc/passwd r,
}
`;

const enabled = '/sys/module/apparmor/parameters/enabled';
const isOn = existsSync(enabled) && readFileSync(enabled, 'utf8').startsWith('Y') && existsSync('/sys/kernel/security/apparmor/profiles');
const skip =
  isOn && existsSync(PARSER) ? false : 'needs AppArmor: node vm/run.ts src/engine/apparmor.root.test.ts runs it under a kernel that has it';

for (const runtime of ['crun', 'runc'] as const)
  describe(`AppArmor, where the kernel has it, over ${runtime}`, { skip }, () => {
    const bench = new EngineBench('apparmor', runtime);
    const load = (...how: string[]) => execFileSync(PARSER, [...how, '--skip-cache'], { input: RULES, stdio: ['pipe', 'pipe', 'pipe'] });
    before(async () => {
      load('--replace');
      await bench.open();
    });
    after(async () => {
      await bench[Symbol.asyncDispose]();
      load('--remove');
    });
    const run = async (apparmor: string) => {
      const script = 'cat /proc/self/attr/current; cat /etc/passwd >/dev/null 2>&1 && echo read || echo denied';
      return (await bench.run(script, { security: { apparmor } })).output;
    };

    test('a container runs under the profile that it names, exec too', async () => {
      assert.equal(await run(`localhost/${PROFILE}`), `${PROFILE} (enforce)\ndenied\n`);
      const { id } = await bench.start('sleep 1000', { security: { apparmor: `localhost/${PROFILE}` } });
      const { output } = await bench.engine.execSync(id, { command: ['cat', '/proc/self/attr/current'], timeoutMs: 20_000 });
      assert.equal(String(output), `${PROFILE} (enforce)\n`);
    });

    test('unconfined is that; a profile that is not loaded is refused by its name', async () => {
      assert.match(await run('unconfined'), /^unconfined\nread\n$/);
      await assert.rejects(bench.create('true', { security: { apparmor: 'localhost/nobody' } }), /"nobody" is not loaded/);
    });
  });
