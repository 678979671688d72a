import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toCgroupsPath } from './runtime-spec.ts';

test("a scope's path is said in systemd's words, any other as it is", () => {
  for (const [path, said] of [
    ['/umiak/burstable/pod1/abc', '/umiak/burstable/pod1/abc'],
    ['/kubepods/besteffort/pod1/abc.scope', '/kubepods/besteffort/pod1/abc.scope'],
    ['/umiak.slice/umiak-pod1.slice/umiak-abc.scope', 'umiak-pod1.slice:umiak:abc'],
  ] as const)
    assert.equal(toCgroupsPath(path), said);
});
