import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { buildImage, buildLayout, buildTar } from '#images/fixtures.ts';

export const BUSYBOX = 'docker.io/library/busybox:bench';

/** A root file system of this machine's static busybox as a tar archive, for whoever imports those. */
export function busyboxRoot(): Buffer {
  const applets = execFileSync('/bin/busybox', ['--list'], { encoding: 'utf8' }).trim().split('\n');
  const links = applets
    .filter(name => name !== 'busybox')
    .map(name => ({ name: `bin/${name}`, type: 'symlink' as const, linkName: 'busybox' }));
  return buildTar([
    { name: 'bin/' },
    { name: 'bin/busybox', content: readFileSync('/bin/busybox'), mode: 0o755 },
    ...links,
    ...['dev/', 'proc/', 'sys/', 'etc/'].map(name => ({ name })),
    { name: 'etc/passwd', content: 'root:x:0:0:root:/root:/bin/sh\n' },
    { name: 'tmp/', mode: 0o1777 },
  ]);
}

/** The same as an OCI image. */
export function busyboxImage(root: Buffer): Buffer {
  return buildLayout(buildImage([root], { Cmd: ['sh'], Env: ['PATH=/bin'] }), BUSYBOX);
}
