import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';

/** Everything this tool makes; never committed. */
export const cache = resolve(import.meta.dirname, '../.cache/vm');

export interface Kernel {
  /** What QEMU boots. */
  image: string;
  /** `lib/modules/<release>`. */
  modules: string;
  release: string;
}

/** Debian's cloud kernel, fetched with apt and unpacked, not installed. */
export function findKernel(): Kernel {
  const directory = join(cache, 'kernel');
  if (!existsSync(join(directory, 'boot'))) {
    const depends = execFileSync('apt-cache', ['depends', 'linux-image-cloud-amd64'], { encoding: 'utf8' });
    const [, name = ''] = /Depends: (linux-image-\S+)/.exec(depends) ?? [];
    mkdirSync(cache, { recursive: true });
    execFileSync('apt-get', ['-qq', 'download', name], { cwd: cache, stdio: 'inherit' });
    const found = readdirSync(cache).find(file => file.startsWith(`${name}_`));
    if (found === undefined) throw new Error(`apt-get download ${name} left nothing`);
    execFileSync('dpkg', ['-x', found, 'kernel'], { cwd: cache });
    rmSync(join(cache, found));
  }
  const [release = ''] = readdirSync(join(directory, 'lib/modules'));
  const modules = join(directory, 'lib/modules', release);
  if (!existsSync(join(modules, 'modules.dep'))) execFileSync('depmod', ['-b', directory, release]);
  return { image: join(directory, 'boot', `vmlinuz-${release}`), modules, release };
}

/** What a disk needs; the rest is loaded by the kernel's asking once the root file system is there. */
const EARLY = ['virtio_pci', 'virtio_blk'];

/** A first file system in memory with busybox, the disk's modules, and a script that goes on to the root on the disk. */
export function buildInitrd({ modules, release }: Kernel): string {
  const target = join(cache, `initrd-${release}`);
  const directory = mkdtempSync(join(cache, 'initrd.'));
  try {
    for (const name of ['bin', 'dev', 'proc', 'new', 'modules']) mkdirSync(join(directory, name));
    copyFileSync('/bin/busybox', join(directory, 'bin/busybox'));
    const files = planModules(EARLY, readFileSync(join(modules, 'modules.dep'), 'utf8'));
    for (const file of files) copyFileSync(join(modules, file), join(directory, 'modules', basename(file)));
    const insert = files.map(file => `busybox insmod /modules/${basename(file)}`).join('\n');
    const script = readFileSync(join(import.meta.dirname, 'initrd.sh'), 'utf8').replace('# modules', insert);
    writeFileSync(join(directory, 'init'), script, { mode: 0o755 });
    execFileSync('sh', ['-c', 'find . | busybox cpio -o -H newc > "$0"', target], { cwd: directory, stdio: 'ignore' });
    return target;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Files of modules and of all they need, in the order in which they can be loaded: of `modules.dep`'s, the last one named is needed first. */
export function planModules(names: readonly string[], dependencies: string): string[] {
  const files = names.flatMap(name => {
    const line = dependencies.split('\n').find(each => basename(each.split(':')[0] ?? '') === `${name}.ko`);
    const [file = '', needs = ''] = line?.split(':') ?? [];
    return [...needs.split(' ').filter(Boolean).reverse(), file];
  });
  return [...new Set(files.filter(Boolean))];
}
