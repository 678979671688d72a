/** What runtimes and the engine make in a root file system to mount something on; while it is empty, it is no change of the container's. */
export const MOUNT_POINTS: readonly string[] = [
  ...['/dev', '/dev/console', '/dev/mqueue', '/dev/pts', '/dev/shm', '/proc', '/sys'],
  ...['/etc', '/etc/hostname', '/etc/hosts', '/etc/resolv.conf'],
];
