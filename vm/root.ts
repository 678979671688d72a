import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { cache, type Kernel } from './kernel.ts';

const repo = resolve(import.meta.dirname, '..');

/** Taken from this machine with the libraries they need. */
const PROGRAMS = [
  '/usr/sbin/mke2fs',
  '/usr/bin/crun',
  '/usr/sbin/runc',
  '/usr/bin/conmon',
  '/usr/bin/busybox',
  '/usr/sbin/apparmor_parser',
  '/usr/sbin/criu',
  '/usr/sbin/iptables-restore',
  '/usr/sbin/ip6tables-restore',
  '/usr/bin/find',
  '/usr/bin/tar',
];
const FILES = [
  '/usr/share/containers/seccomp.json',
  '/usr/lib/x86_64-linux-gnu/libseccomp.so.2',
  '/etc/passwd',
  '/etc/group',
  '/etc/nsswitch.conf',
];
/** All files of these Debian packages, where they are installed: for `--systemd`; for criu, which closes the network while it looks. */
const PACKAGES = ['iptables', 'systemd', 'systemd-sysv', 'dbus', 'dbus-daemon', 'dbus-bin', 'dbus-system-bus-common', 'libpam-systemd'];

/** The root file system, made once: programs, Node, its packages, the kernel's modules. The sources lie on a disk of their own. */
export function buildRoot({ modules, release }: Kernel): string {
  const image = join(cache, `root-${release}.ext4`);
  if (existsSync(image)) return image;
  return withDirectory(directory => {
    for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
      mkdirSync(join(directory, 'usr', name), { recursive: true });
      symlinkSync(`usr/${name}`, join(directory, name));
    }
    for (const name of ['dev', 'proc', 'sys', 'run', 'tmp', 'root', 'var/log', 'umiak', 'etc'])
      mkdirSync(join(directory, name), { recursive: true });
    const node = realpathSync(join(repo, '.bin/node'));
    const files = [...PROGRAMS, ...FILES, ...PACKAGES.flatMap(filesOf)].filter(file => existsSync(file));
    for (const file of new Set([...files, ...librariesOf([node, ...files])])) copy(file, directory);
    cpSync(node, join(directory, 'usr/bin/node'));
    for (const name of applets())
      if (!existsSync(join(directory, 'usr/bin', name))) symlinkSync('busybox', join(directory, 'usr/bin', name));
    symlinkSync('../bin/busybox', join(directory, 'usr/sbin/modprobe'));
    for (const script of ['init.sh', 'test.sh']) cpSync(join(import.meta.dirname, script), join(directory, 'usr/sbin', script));
    writeFileSync(join(directory, 'etc/machine-id'), `${'0'.repeat(31)}1\n`);
    mkdirSync(join(directory, 'etc/systemd/system'), { recursive: true });
    cpSync(join(import.meta.dirname, 'test.service'), join(directory, 'etc/systemd/system/test.service'));
    cpSync(modules, join(directory, 'usr/lib/modules', release), { recursive: true });
    cpSync(realpathSync(join(repo, 'node_modules')), join(directory, 'node_modules'), { recursive: true, filter: isNeeded });
    return makeImage(directory, image, 900);
  });
}

/** The sources as they are now. */
export function buildSources(): string {
  return withDirectory(directory => {
    for (const name of ['src', 'tests', 'package.json']) cpSync(join(repo, name), join(directory, name), { recursive: true });
    return makeImage(directory, join(cache, 'sources.ext4'), 64);
  });
}

/** What runs in tests of engine and kernel: not compilers, browsers, other clients. */
function isNeeded(path: string): boolean {
  return !/node_modules\/(@aws-cdk|@biomejs|@esbuild|@jsep-plugin|@kubernetes|@typescript|@types|esbuild|typescript|node-linux-\w+)(\/|$)/.test(
    path,
  );
}

function filesOf(name: string): string[] {
  try {
    return execFileSync('dpkg', ['-L', name], { encoding: 'utf8', stdio: 'pipe' })
      .split('\n')
      .filter(file => /^\/(?!usr\/share\/(?!dbus-1\/))/.test(file) && existsSync(file) && !statSync(file).isDirectory());
  } catch {
    return []; // not installed here
  }
}

function librariesOf(files: readonly string[]): string[] {
  const asked = files.filter(
    file => /^\/(usr\/)?(s?bin|lib)|node$/.test(file) && !/\.(service|target|socket|conf|mount|slice|timer|path|rules)$/.test(file),
  );
  const said = asked.map(file => {
    try {
      return execFileSync('ldd', [file], { encoding: 'utf8', stdio: 'pipe' });
    } catch {
      return ''; // static, or no program
    }
  });
  return said.flatMap(text => [...text.matchAll(/(\/\S+) \(0x/g)].map(match => match[1] ?? ''));
}

function applets(): string[] {
  return execFileSync('busybox', ['--list'], { encoding: 'utf8' }).split('\n').filter(Boolean);
}

/** To its place below /usr, whatever linked directory it was named by. */
function copy(file: string, directory: string): void {
  const place = file.replace(/^\/(bin|sbin|lib|lib64)\//, '/usr/$1/');
  mkdirSync(dirname(join(directory, place)), { recursive: true });
  cpSync(place, join(directory, place), { verbatimSymlinks: true, preserveTimestamps: true });
  if (!lstatSync(place).isSymbolicLink()) return;
  const next = resolve(dirname(place), readlinkSync(place)); // one link after another, as alternatives are
  if (!next.startsWith('/dev/') && existsSync(next) && !existsSync(join(directory, next))) copy(next, directory);
}

function makeImage(directory: string, image: string, sizeMb: number): string {
  rmSync(image, { force: true });
  execFileSync('mke2fs', ['-q', '-t', 'ext4', '-O', '^has_journal', '-d', directory, image, `${sizeMb}M`], { stdio: 'inherit' });
  return image;
}

function withDirectory<T>(act: (directory: string) => T): T {
  mkdirSync(cache, { recursive: true });
  const directory = mkdtempSync(join(cache, 'root.'));
  try {
    return act(directory);
  } finally {
    rmSync(directory, { recursive: true });
  }
}
