import { closeSync, fstatSync, readSync } from 'node:fs';
import koffi from 'koffi';
import { UmiakError } from '#base/errors.ts';
import { check, declare } from './libc.ts';

/** OCI runtime spec, "linux.seccomp". */
export interface LinuxSeccomp {
  defaultAction: string;
  defaultErrnoRet?: number;
  architectures?: string[];
  flags?: string[];
  listenerPath?: string;
  syscalls?: SeccompRule[];
}

export interface SeccompRule {
  names: string[];
  action: string;
  errnoRet?: number;
  args?: SeccompArgument[];
}

export interface SeccompArgument {
  index: number;
  value: number;
  valueTwo?: number;
  op: string;
}

const EPERM = 1;
const EEXIST = 17;
const EDOM = 33;
const MFD_CLOEXEC = 1;
const SCMP_FLTATR_CTL_OPTIMIZE = 8;

const OPERATORS: Record<string, number> = {
  SCMP_CMP_NE: 1,
  SCMP_CMP_LT: 2,
  SCMP_CMP_LE: 3,
  SCMP_CMP_EQ: 4,
  SCMP_CMP_GE: 5,
  SCMP_CMP_GT: 6,
  SCMP_CMP_MASKED_EQ: 7,
};

const memfdCreate = declare('int memfd_create(const char *name, unsigned int flags)');

const load = () => {
  const library = koffi.load('libseccomp.so.2');
  return {
    init: library.func('void *seccomp_init(uint32_t action)'),
    release: library.func('void seccomp_release(void *filter)'),
    resolve: library.func('int seccomp_syscall_resolve_name(const char *name)'),
    resolveArchitecture: library.func('uint32_t seccomp_arch_resolve_name(const char *name)'),
    addArchitecture: library.func('int seccomp_arch_add(void *filter, uint32_t architecture)'),
    addRule: library.func(
      'int seccomp_rule_add_array(void *filter, uint32_t action, int syscall, unsigned int count, const void *conditions)',
    ),
    setAttribute: library.func('int seccomp_attr_set(void *filter, int attribute, uint32_t value)'),
    exportBpf: library.func('int seccomp_export_bpf(void *filter, int fd)'),
  };
};
let loaded: ReturnType<typeof load> | undefined;

/**
 * Compiles a profile by libseccomp to the BPF program that the kernel runs (`struct sock_filter[]`), 2–4 ms for a usual one.
 * System calls that this architecture does not know are left out, as OCI's runtimes do.
 * @throws Invalid for actions, operators and architectures that don't exist
 */
export function compileSeccomp(profile: LinuxSeccomp): Buffer {
  loaded ??= load();
  const library = loaded;
  const defaultAction = toAction(profile.defaultAction, profile.defaultErrnoRet);
  const filter: unknown = library.init(defaultAction);
  if (!filter) throw new UmiakError('Invalid', `seccomp: default action ${profile.defaultAction} is not supported here`);
  try {
    for (const name of profile.architectures ?? []) {
      const token: number = library.resolveArchitecture(name.replace(/^SCMP_ARCH_/, '').toLowerCase());
      const result: number = token === 0 ? -1 : library.addArchitecture(filter, token);
      if (result < 0 && result !== -EEXIST) throw new UmiakError('Invalid', `seccomp: architecture ${name} is not known`);
    }
    library.setAttribute(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); // a binary tree instead of a chain of comparisons
    for (const rule of profile.syscalls ?? []) {
      const action = toAction(rule.action, rule.errnoRet);
      if (action === defaultAction) continue;
      const alternatives = planConditions(rule.args ?? []);
      for (const name of rule.names) {
        const number: number = library.resolve(name);
        if (number === -1) continue;
        for (const conditions of alternatives) {
          const result: number = library.addRule(filter, action, number, conditions.length, toConditions(conditions));
          if (result < 0 && result !== -EEXIST && result !== -EDOM)
            throw new UmiakError('Invalid', `seccomp: the rule for ${name} is refused by libseccomp (${result})`);
        }
      }
    }
    return exportBpf(filter, library.exportBpf);
  } finally {
    library.release(filter);
  }
}

/** Conditions on different arguments must hold together; several on the same argument are alternatives. Pure. */
export function planConditions(args: readonly SeccompArgument[]): SeccompArgument[][] {
  if (args.length === 0) return [[]];
  const repeats = new Set(args.map(arg => arg.index)).size < args.length;
  return repeats ? args.map(arg => [arg]) : [[...args]];
}

function toAction(name: string, errnoRet: number | undefined): number {
  switch (name) {
    case 'SCMP_ACT_ALLOW':
      return 0x7fff0000;
    case 'SCMP_ACT_LOG':
      return 0x7ffc0000;
    case 'SCMP_ACT_ERRNO':
      return 0x00050000 | ((errnoRet ?? EPERM) & 0xffff);
    case 'SCMP_ACT_TRACE':
      return 0x7ff00000 | ((errnoRet ?? EPERM) & 0xffff);
    case 'SCMP_ACT_TRAP':
      return 0x00030000;
    case 'SCMP_ACT_KILL':
    case 'SCMP_ACT_KILL_THREAD':
      return 0;
    case 'SCMP_ACT_KILL_PROCESS':
      return 0x80000000;
    default:
      throw new UmiakError('Invalid', `seccomp: action ${JSON.stringify(name)} is not known`);
  }
}

/** `struct scmp_arg_cmp { unsigned arg; enum op; u64 a; u64 b }`, one after the other. */
function toConditions(args: readonly SeccompArgument[]): Buffer {
  const bytes = Buffer.alloc(24 * args.length);
  for (const [i, { index, op, value, valueTwo = 0 }] of args.entries()) {
    const operator = OPERATORS[op];
    if (operator === undefined) throw new UmiakError('Invalid', `seccomp: operator ${JSON.stringify(op)} is not known`);
    bytes.writeUInt32LE(index, 24 * i);
    bytes.writeUInt32LE(operator, 24 * i + 4);
    bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), 24 * i + 8);
    bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(valueTwo)), 24 * i + 16);
  }
  return bytes;
}

function exportBpf(filter: unknown, call: (filter: unknown, fd: number) => number): Buffer {
  const fd = check(memfdCreate('seccomp', MFD_CLOEXEC), 'memfd_create');
  try {
    const result = call(filter, fd);
    if (result < 0) throw new UmiakError('InternalError', `seccomp: libseccomp could not export the filter (${result})`);
    const bytes = Buffer.alloc(fstatSync(fd).size);
    readSync(fd, bytes, 0, bytes.length, 0);
    return bytes;
  } finally {
    closeSync(fd);
  }
}
