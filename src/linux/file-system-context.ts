import { closeSync } from 'node:fs';
import { attachMount } from './idmapped-mount.ts';
import { check, declare } from './libc.ts';

const fsopenCall = declare('long syscall(long number, const char *type, long flags)');
const fsconfigCall = declare('long syscall(long number, long fd, long command, const char *key, const char *value, long aux)');
const fsmountCall = declare('long syscall(long number, long fd, long flags, long attributes)');

/** The same numbers on every architecture. */
const FSOPEN = 430;
const FSCONFIG = 431;
const FSMOUNT = 432;

const FSOPEN_CLOEXEC = 1;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_CREATE = 6;
const FSMOUNT_CLOEXEC = 1;

/**
 * Mounts a new file system on `target` with each option given by itself, so that all together may be longer than the page that `mount(2)`
 * takes; one is 255 bytes long at most. The calling thread waits. @throws SyscallError with the option that is not taken
 */
export function mountWithOptions(type: string, target: string, options: readonly (readonly [key: string, value: string])[]): void {
  const context = check(Number(fsopenCall(FSOPEN, type, FSOPEN_CLOEXEC)), `fsopen ${type}`);
  try {
    for (const [key, value] of options)
      check(Number(fsconfigCall(FSCONFIG, context, FSCONFIG_SET_STRING, key, value, 0)), `fsconfig ${type} ${key}=${value}`);
    check(Number(fsconfigCall(FSCONFIG, context, FSCONFIG_CMD_CREATE, null, null, 0)), `fsconfig ${type} create`);
    const fd = check(Number(fsmountCall(FSMOUNT, context, FSMOUNT_CLOEXEC, 0)), `fsmount ${type}`);
    try {
      attachMount(fd, target);
    } finally {
      closeSync(fd);
    }
  } finally {
    closeSync(context);
  }
}
