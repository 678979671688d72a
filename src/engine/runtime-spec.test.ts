import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OciSpec } from './oci-types.ts';
import { fitSpec, toCgroupsPath } from './runtime-spec.ts';

test("a scope's path is said in systemd's words, any other as it is", () => {
  for (const [path, said] of [
    ['/umiak/burstable/pod1/abc', '/umiak/burstable/pod1/abc'],
    ['/kubepods/besteffort/pod1/abc.scope', '/kubepods/besteffort/pod1/abc.scope'],
    ['/umiak.slice/umiak-pod1.slice/umiak-abc.scope', 'umiak-pod1.slice:umiak:abc'],
  ] as const)
    assert.equal(toCgroupsPath(path), said);
});

test('a scope of crun says its limits to systemd, and makes no group below', () => {
  const spec = (cgroupsPath: string) =>
    ({
      linux: { cgroupsPath, resources: { devices: [], memory: { limit: 100, swap: 100 }, cpu: { quota: 50, period: 100 } } },
    }) as unknown as OciSpec;
  const fit = (type: 'crun' | 'runc', path: string) => fitSpec(spec(path), { type, hasHostProcesses: true }, 'north');
  assert.deepEqual(fit('crun', '/a.slice/a-b.scope').annotations, {
    'run.oci.systemd.subgroup': '',
    'org.systemd.property.MemoryMax': 'uint64 100',
    'org.systemd.property.MemorySwapMax': 'uint64 0',
    'org.systemd.property.CPUQuotaPerSecUSec': 'uint64 500000',
  });
  assert.equal(fit('runc', '/a.slice/a-b.scope').annotations, undefined);
  assert.equal(fit('crun', '/a/b').annotations, undefined);
  assert.equal(fitSpec(spec('/a/b'), { type: 'runsc', hasHostProcesses: false }, 'north').hostname, 'north');
});
