import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { OciSpec } from './oci-types.ts';
import type { OciRuntime } from './runtime.ts';
import { SeccompCache } from './seccomp-cache.ts';

const spec = { process: { capabilities: { bounding: ['CAP_CHOWN'] } }, linux: {}, annotations: { kept: 'yes' } } as unknown as OciSpec;
const FILTER = 'run.oci.seccomp_bpf_data';

test('a profile is read, planned and compiled once, until its file changes', t => {
  const directory = mkdtempSync(join(tmpdir(), 'seccompcache-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'profile.json');
  const write = (errnoRet: number) =>
    writeFileSync(
      file,
      JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['chroot'], action: 'SCMP_ACT_ERRNO', errnoRet }] }),
    );
  write(1);
  const cache = new SeccompCache();
  const filter = (profile = file) => cache.apply(spec, profile, { takesBpf: true } as OciRuntime).annotations;
  const plan = () => cache.apply(spec, file, { takesBpf: false } as OciRuntime).linux.seccomp;
  const first = filter();
  assert.deepEqual(filter(`localhost/${file}`), first);
  assert.equal(first?.kept, 'yes');
  assert.ok((first?.[FILTER] ?? '').length > 0);
  const planned = plan();
  assert.ok(planned);
  // Spoiled on purpose: whoever planned or compiled again would have something else.
  planned.syscalls = [{ names: ['mkdir'], action: 'SCMP_ACT_KILL' }];
  assert.equal(plan(), planned);
  assert.deepEqual(filter(), first);
  write(13);
  assert.notDeepEqual(filter(), first);
  assert.deepEqual(filter(`localhost/${file}`), filter(), 'by its older name, too');
  assert.notEqual(plan(), planned);
});

test('unconfined has no filter, and a runtime that compiles itself gets the rules', () => {
  const cache = new SeccompCache();
  assert.equal(cache.apply(spec, 'unconfined', { takesBpf: true } as OciRuntime), spec);
  const { linux, annotations } = cache.apply(spec, undefined, { takesBpf: false } as OciRuntime);
  assert.ok(linux.seccomp && !(FILTER in (annotations ?? {})));
});
