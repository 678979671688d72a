import { check, declare } from './libc.ts';

const setxattrCall = declare('int setxattr(const char *path, const char *name, const void *value, size_t size, int flags)');

/** `setxattr(2)`. @throws SyscallError with the path, ENOTSUP where the file system has no such attributes */
export function setExtendedAttribute(path: string, name: string, value: string): void {
  const bytes = Buffer.from(value);
  check(setxattrCall(path, name, bytes, bytes.length, 0), `setxattr ${name} of ${path}`);
}
