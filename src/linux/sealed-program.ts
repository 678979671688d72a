import { closeSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { check, declare, errno, SyscallError } from './libc.ts';

const MFD_CLOEXEC = 0x1;
const MFD_ALLOW_SEALING = 0x2;
/** May be run, also where the machine's default says otherwise (`vm.memfd_noexec`); older kernels know neither. */
const MFD_EXEC = 0x10;
const EINVAL = 22;
const F_ADD_SEALS = 1033;
/** Neither seals nor size nor content change any more. */
const ALL_SEALS = 0x1 | 0x2 | 0x4 | 0x8;
const ELF = Buffer.from('\x7fELF');

const memfdCreate = declare('int memfd_create(const char *name, unsigned int flags)');
const fcntl = declare('int fcntl(int fd, int command, int argument)');

/** Descriptors of copies, by the file and its state. */
const copies = new Map<string, number | undefined>();

/**
 * A program of the machine that, for fear of what it runs, starts itself again from a copy that nobody can change (crun, runc), which is
 * half of what its start costs: a copy in memory that is sealed already and that it takes for what it wants. Made again when the file has
 * changed; good for as long as this process lives, an old one too, which somebody may be about to run.
 */
export class SealedProgram {
  readonly #program: string;
  readonly #link: string;
  #linked: number | undefined;

  /** @param link where it is found, under a name that tells what it is */
  constructor({ program, link }: { program: string; link: string }) {
    this.#program = program;
    this.#link = link;
  }

  /** What to run now; the program itself where it can't be copied. */
  get path(): string {
    const fd = copyOf(this.#program);
    if (fd === undefined) return this.#program;
    if (fd !== this.#linked) point(this.#link, `/proc/${process.pid}/fd/${fd}`);
    this.#linked = fd;
    return this.#link;
  }
}

function copyOf(program: string): number | undefined {
  const facts = statSync(program, { bigint: true, throwIfNoEntry: false });
  if (!facts) return undefined;
  const key = `${program} ${facts.dev} ${facts.ino} ${facts.size} ${facts.mtimeNs} ${facts.ctimeNs}`;
  if (!copies.has(key)) copies.set(key, seal(program));
  return copies.get(key);
}

function point(link: string, target: string): void {
  mkdirSync(dirname(link), { recursive: true, mode: 0o700 });
  const next = `${link}.${process.pid}`;
  rmSync(next, { force: true }); // of one that was killed and had our pid
  symlinkSync(target, next);
  renameSync(next, link);
}

function seal(program: string): number | undefined {
  const bytes = readFileSync(program);
  if (!bytes.subarray(0, ELF.length).equals(ELF)) return undefined; // a script may look at where it lies
  const create = (flags: number): number => memfdCreate(basename(program), flags);
  let fd = create(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  if (fd < 0 && errno() === EINVAL) fd = create(MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return undefined;
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    check(fcntl(fd, F_ADD_SEALS, ALL_SEALS), 'fcntl F_ADD_SEALS');
    return fd;
  } catch (error) {
    closeSync(fd);
    if (error instanceof SyscallError) return undefined;
    throw error;
  }
}
