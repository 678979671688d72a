/**
 * `make setup` on a fresh Debian 12 that has neither node nor npm: a debootstrap chroot with mount and PID namespaces of its own.
 * Mirrors, proxies, certificates and npm's registry are this machine's own: its configuration is handed in.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';

const root = join(import.meta.dirname, '..');
const cache = join(root, '.cache');

test('make setup makes a bare Debian 12 ready, and a second call finds nothing to do', async (t: TestContext) => {
  if (!process.env.UMIAK_SOAK) return t.skip('takes minutes and a gigabyte: make soak');
  if (process.getuid?.() !== 0) return t.skip('debootstrap and chroot need root');
  await mkdir(cache, { recursive: true });
  const chroot = await mkdtemp(join(cache, 'setup-chroot-'));
  t.after(() => rm(chroot, { recursive: true, force: true }));
  await unpackDebian(chroot);
  await handInMachine(chroot);
  await sh(`git ls-files -z --cached --others --exclude-standard | xargs -0 sh -c 'for f; do [ ! -e "$f" ] || printf "%s\\0" "$f"; done' sh \\
    | tar -c --null -T - | { mkdir -p '${chroot}/srv/umiak' && tar -x -C '${chroot}/srv/umiak'; }`);

  const inside = (script: string) =>
    sh(`unshare --mount --pid --fork --kill-child --mount-proc='${chroot}/proc' chroot '${chroot}' /bin/sh -ec "$SCRIPT"`, script);
  assert.equal(await inside('command -v node npm || echo none'), 'none\n', 'the chroot must start without node and npm');
  const kernel = () => inside('sort /proc/mounts; sort /proc/modules 2>/dev/null || true; cat /proc/sys/net/ipv4/ip_forward');
  const before = await kernel();

  await inside('cd /srv/umiak && make setup');
  assert.match(await inside('cd / && /srv/umiak/bin/umiak version'), /^umiak \d/);
  assert.match(await inside('/srv/umiak/.bin/kubectl version --client'), /v1\.36\./);
  assert.match(await inside('crun --version; conmon --version; nft --version; docker-registry --version'), /crun/);
  assert.equal(await kernel(), before, 'setup must not change kernel state');

  const began = performance.now();
  await inside('cd /srv/umiak && make setup');
  const seconds = (performance.now() - began) / 1000;
  t.diagnostic(`second make setup: ${seconds.toFixed(2)} s`);
  assert.ok(seconds < 1, `a second make setup took ${seconds.toFixed(2)} s`);
});

/** A minimal bookworm with make, built once and kept as an archive in the cache. */
async function unpackDebian(chroot: string): Promise<void> {
  const archive = join(cache, 'debian-12.tar');
  if (!existsSync(archive)) {
    const made = await mkdtemp(join(cache, 'debootstrap-'));
    try {
      await sh(
        `debootstrap --variant=minbase --include=make bookworm '${made}' '${await debianMirror()}' && tar -cf '${archive}.new' -C '${made}' .`,
      );
      await rename(`${archive}.new`, archive);
    } finally {
      await rm(made, { recursive: true, force: true });
    }
  }
  await sh(`tar -xf '${archive}' -C '${chroot}'`);
}

/** The mirror that this machine's own apt uses for bookworm. */
async function debianMirror(): Promise<string> {
  return (
    await sh(`apt-get indextargets --format '$(SITE)|$(RELEASE)' 'Created-By: Packages' | sed -n 's/|bookworm$//p' | head -n 1`)
  ).trim();
}

/** How this machine reaches names, mirrors and registries, and whom it trusts. */
async function handInMachine(chroot: string): Promise<void> {
  const copy = async (from: string, to = from) => {
    if (existsSync(from)) await cp(from, join(chroot, to), { recursive: true, dereference: true, force: true });
  };
  for (const file of ['/etc/resolv.conf', '/etc/hosts', '/etc/apt/auth.conf.d', '/etc/apt/trusted.gpg.d', '/etc/apt/keyrings'])
    await copy(file);
  for (const list of globSync('/etc/apt/{sources.list,sources.list.d/*.{list,sources}}'))
    if (/\b(bookworm|debian)\b/.test(await readFile(list, 'utf8'))) await copy(list);
  for (const file of globSync('/etc/apt/apt.conf.d/*')) if (/^\s*Acquire::/m.test(await readFile(file, 'utf8'))) await copy(file);
  await copy('/etc/ssl/certs/ca-certificates.crt', '/etc/ssl/machine.crt');
  await copy(join(homedir(), '.npmrc'), '/root/.npmrc');
}

/** Runs a shell script; returns its stdout. @throws with the end of stderr when it fails. */
async function sh(command: string, script = ''): Promise<string> {
  const proxies = Object.entries(process.env).filter(([name]) => /^(https?|no|all)_proxy$|^npm_config_/i.test(name));
  const child = spawn('/bin/sh', ['-ec', command], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...Object.fromEntries(proxies),
      PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      HOME: homedir(),
      LC_ALL: 'C.UTF-8',
      SCRIPT: script,
      npm_config_cafile: '/etc/ssl/machine.crt',
      NODE_EXTRA_CA_CERTS: '/etc/ssl/machine.crt',
    },
  });
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  assert.equal(code, 0, `${script || command}: exit code ${code}\n${err.slice(-3000)}`);
  return out;
}
