import { UmiakError } from '#base/errors.ts';
import type { SandboxConfig } from './engine.ts';

/** Those of the IPC namespace. */
const IPC = /^(kernel\.(shmall|shmmax|shmmni|shm_rmid_forced|msgmax|msgmnb|msgmni|sem)|fs\.mqueue\.[a-z_]+)$/;
const NETWORK = /^net\.[a-zA-Z0-9_./*-]+$/;
const NAME = /^[a-zA-Z0-9_]+([./][a-zA-Z0-9_*-]+)+$/;

/** Refuses what would change the machine instead of the sandbox. Pure. @throws Invalid naming the sysctl */
export function checkSysctls({ sysctls = {}, network, ipc }: Pick<SandboxConfig, 'sysctls' | 'network' | 'ipc'>): void {
  for (const [given, value] of Object.entries(sysctls)) {
    // A name with slashes first may have dots that belong to an interface.
    const name = given.replace(/^([^./]*)\//, '$1.').replaceAll('/', '.');
    const refuse = (why: string) => new UmiakError('Invalid', `sysctl ${JSON.stringify(given)} ${why}`);
    if (!NAME.test(given) || given.includes('..')) throw refuse('is no name of one');
    if (value.length > 4096 || /[\0\n]/.test(value)) throw refuse('has a value that is none');
    if (IPC.test(name)) {
      if (ipc === 'host') throw refuse("is not allowed with the machine's IPC namespace");
    } else if (NETWORK.test(name)) {
      if (network === 'host') throw refuse("is not allowed with the machine's network");
    } else throw refuse('is the machine’s: it has no namespace of its own');
  }
}
