import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { KernelChangeJournal } from '#linux/kernel-changes.ts';
import { compileSeccomp, type LinuxSeccomp } from '#linux/seccomp.ts';
import { DEFAULT_CAPABILITIES } from './capabilities.ts';
import { applyMachine } from './machine.ts';
import { planSeccomp, readSeccompProfile } from './seccomp-profile.ts';

const AUDIT_ARCHES = { x86_64: 0xc000003e, i386: 0x40000003, aarch64: 0xc00000b7, none: 0x12345678 };

const rules: LinuxSeccomp = {
  defaultAction: 'SCMP_ACT_ALLOW',
  architectures: ['SCMP_ARCH_X86_64'],
  syscalls: [
    { names: ['mkdir'], action: 'SCMP_ACT_ERRNO', errnoRet: 13 },
    { names: ['chmod'], action: 'SCMP_ACT_ERRNO', args: [{ index: 1, value: 0o4000, valueTwo: 0o4000, op: 'SCMP_CMP_MASKED_EQ' }] },
    { names: ['personality'], action: 'SCMP_ACT_TRAP', args: [{ index: 0, value: 8, op: 'SCMP_CMP_NE' }] },
    { names: ['socket'], action: 'SCMP_ACT_KILL_PROCESS', args: [16, 17].map(value => ({ index: 0, value, op: 'SCMP_CMP_EQ' })) },
    { names: ['read'], action: 'SCMP_ACT_LOG', args: [{ index: 2, value: 2 ** 33, op: 'SCMP_CMP_GT' }] },
    { names: ['ptrace'], action: 'SCMP_ACT_TRACE', errnoRet: 5 },
    { names: ['kill'], action: 'SCMP_ACT_KILL', args: [{ index: 1, value: 9, op: 'SCMP_CMP_LE' }] },
    { names: ['no_such_call'], action: 'SCMP_ACT_KILL' },
  ],
};

const profiles: [string, LinuxSeccomp][] = [
  [
    'the default profile',
    planSeccomp(readSeccompProfile(undefined)!, { capabilities: new Set(DEFAULT_CAPABILITIES), arch: process.arch, kernel: release() }),
  ],
  [
    'the default profile without capabilities',
    planSeccomp(readSeccompProfile(undefined)!, { capabilities: new Set(), arch: process.arch, kernel: release() }),
  ],
  ['every action and operator', rules],
];

for (const [what, seccomp] of profiles)
  test(`our filter decides as crun's own: ${what}`, { skip: process.arch !== 'x64' && 'the cases are for x86-64' }, async () => {
    const ours = compileSeccomp(seccomp);
    const theirs = await compileByCrun(seccomp);
    for (const arch of Object.values(AUDIT_ARCHES))
      for (let call = -1; call < 480; call++)
        for (const number of arch === AUDIT_ARCHES.x86_64 ? [call, call + 0x40000000] : [call])
          for (const args of [
            [0n, 0n, 0n],
            [8n, 0o4755n, 9n],
            [16n, 9n, 9n],
            [17n, 10n, 1n << 34n],
            [0xffffffffn, 0o644n, 1n << 33n],
            [131072n, 8n, 0n],
          ]) {
            const data = toData(number, arch, args);
            const [a, b] = [runFilter(ours, data), runFilter(theirs, data)];
            assert.equal(a, b, `call ${number} on ${arch.toString(16)} with ${args}: ours ${a.toString(16)}, crun's ${b.toString(16)}`);
          }
  });

/** crun leaves the filter that it compiled in the container's state. */
async function compileByCrun(seccomp: LinuxSeccomp): Promise<Buffer> {
  const id = `seccompparity-${process.pid}`;
  const directory = mkdtempSync(join(tmpdir(), `${id}-`));
  const kernel = new KernelChangeJournal({ holder: id });
  try {
    await applyMachine(kernel);
    for (const name of ['bin', 'dev', 'proc']) mkdirSync(`${directory}/rootfs/${name}`, { recursive: true });
    copyFileSync('/bin/busybox', `${directory}/rootfs/bin/busybox`);
    const config = {
      ociVersion: '1.0.2',
      root: { path: 'rootfs' },
      process: { cwd: '/', user: { uid: 0, gid: 0 }, env: [], args: ['/bin/busybox', 'true'] },
      mounts: [{ destination: '/proc', type: 'proc', source: 'proc' }],
      linux: { cgroupsPath: `/${id}`, namespaces: [{ type: 'pid' }, { type: 'mount' }], seccomp },
    };
    writeFileSync(`${directory}/config.json`, JSON.stringify(config));
    const crun = (...args: string[]) => execFileSync('crun', [`--root=${directory}/state`, ...args], { stdio: 'ignore' });
    crun('create', '-b', directory, id);
    try {
      const file = `${directory}/state/${id}/seccomp.bpf`;
      assert.ok(existsSync(file), 'crun left no filter');
      return readFileSync(file);
    } finally {
      crun('delete', '-f', id);
    }
  } finally {
    await kernel.undoAll();
    rmSync(directory, { recursive: true });
  }
}

/** `struct seccomp_data`. */
function toData(number: number, arch: number, args: readonly bigint[]): Buffer {
  const data = Buffer.alloc(64);
  data.writeInt32LE(number | 0, 0);
  data.writeUInt32LE(arch, 4);
  for (const [i, value] of args.entries()) data.writeBigUInt64LE(value, 16 + 8 * i);
  return data;
}

/** Classic BPF as far as seccomp filters use it. */
function runFilter(program: Buffer, data: Buffer): number {
  let accumulator = 0;
  for (let at = 0; ; at++) {
    const code = program.readUInt16LE(8 * at);
    const [yes, no, k] = [program[8 * at + 2]!, program[8 * at + 3]!, program.readUInt32LE(8 * at + 4)];
    const jump = (isTrue: boolean) => {
      at += isTrue ? yes : no;
    };
    if (code === 0x20) accumulator = data.readUInt32LE(k);
    else if (code === 0x54) accumulator = (accumulator & k) >>> 0;
    else if (code === 0x05) at += k;
    else if (code === 0x15) jump(accumulator === k);
    else if (code === 0x25) jump(accumulator > k);
    else if (code === 0x35) jump(accumulator >= k);
    else if (code === 0x45) jump((accumulator & k) !== 0);
    else if (code === 0x06) return k;
    else assert.fail(`instruction ${code.toString(16)} is not known here`);
  }
}
