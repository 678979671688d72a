import { execFile } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { assembleArchive } from '#images/assemble.ts';
import { buildImage, buildLayout, buildTar, type FixtureEntry } from '#images/fixtures.ts';
import type { TestRegistry } from '../tests/registry.ts';
import { cache, root } from './places.ts';

const run = promisify(execFile);

/** An image of busybox with something on top. */
interface SmallImage {
  cmd?: string[];
  user?: string;
  /** What tells it from the others. */
  files?: FixtureEntry[];
}

const USERS = [
  'root:x:0:0:root:/root:/bin/sh',
  'nobody:x:65534:65534:nobody:/home:/bin/false',
  'www-data:x:33:33:www-data:/var/www:/bin/sh',
  'default-user:x:1000:1000::/home:/bin/sh',
];
const GROUPS = ['root:x:0:', 'www-data:x:33:', 'default-user:x:1000:', 'group-defined-in-image:x:50000:default-user'];
const STAGING = 'k8s-staging-cri-tools';
const mark = (name: string): SmallImage => ({ files: [{ name: 'etc/image', content: name }] });

/** What specs pull, by its path and tag in a registry, whichever the registry; programs by their names in `programs`. */
function smallImages({ nnp }: { nnp: string }): Record<string, SmallImage> {
  return {
    'e2e-test-images/busybox:1.29-2': {},
    'e2e-test-images/httpd:2.4.39-4': {
      cmd: ['sh', '-c', 'echo httpd serves /www; exec httpd -f -p 80 -h /www'],
      files: [{ name: 'www/' }, { name: 'www/index.html', content: 'It works!\n' }],
    },
    'e2e-test-images/nonewprivs:1.3': {
      cmd: ['/bin/nnp'],
      files: [{ name: 'bin/nnp', mode: 0o4755, content: readFileSync(nnp) }],
    },
    'pause:3.9': { cmd: ['sleep', 'infinity'] },
    [`${STAGING}/test-image-latest:latest`]: mark('latest'),
    [`${STAGING}/test-image-tag:test`]: mark('tag'),
    [`${STAGING}/test-image-tag:all`]: mark('all'),
    [`${STAGING}/test-image-digest:latest`]: mark('digest'),
    ...Object.fromEntries([1, 2, 3].map(i => [`${STAGING}/test-image-${i}:latest`, mark(`different ${i}`)])),
    ...Object.fromEntries([1, 2, 3].map(i => [`${STAGING}/test-image-tags:${i}`, mark('same')])),
    [`${STAGING}/test-image-user-uid:latest`]: { user: '1002' },
    [`${STAGING}/test-image-user-username:latest`]: { user: 'www-data' },
    [`${STAGING}/test-image-user-uid-group:latest`]: { user: '1003:users' },
    [`${STAGING}/test-image-user-username-group:latest`]: { user: 'www-data:100' },
    [`${STAGING}/test-image-predefined-group:latest`]: { user: '1000' },
  };
}

/** Those that need real packages, by the definition they are assembled from. */
const ASSEMBLED: Readonly<Record<string, string>> = {
  'e2e-test-images/nginx:1.14-2': 'nginx',
  [`${STAGING}/hostnet-nginx-amd64:latest`]: 'hostnet-nginx',
  [`${STAGING}/hostnet-nginx-arm64:latest`]: 'hostnet-nginx',
};

/** Makes the images and pushes them. Gives the digest of the one that a spec pulls by digest. */
export async function serveImages(registry: TestRegistry, programs: { nnp: string; sh: string }): Promise<{ digest: string }> {
  const directory = join(cache, 'images');
  mkdirSync(directory, { recursive: true });
  const base = await busyboxLayer(programs);
  let digest = '';
  for (const [name, { cmd = ['sh'], user, files }] of Object.entries(smallImages(programs))) {
    const layers = [base, ...(files ? [buildTar(files)] : [])];
    const image = buildImage(layers, { Cmd: cmd, Env: ['PATH=/bin'], ...(user === undefined ? {} : { User: user }) });
    if (name.includes('/test-image-digest:')) digest = image.manifest.digest;
    const archive = join(directory, 'small.tar');
    writeFileSync(archive, buildLayout(image));
    await registry.push(archive, name);
  }
  for (const [name, definition] of Object.entries(ASSEMBLED)) await registry.push(await archiveOf(definition), name);
  return { digest };
}

/** Static busybox with all its applets, as links of the kind that the official image has: one may be masked without the others. */
async function busyboxLayer({ sh }: { sh: string }): Promise<Buffer> {
  const applets = (await run('/bin/busybox', ['--list'])).stdout.trim().split('\n');
  return buildTar([
    { name: 'bin/' },
    { name: 'bin/busybox', content: readFileSync('/bin/busybox'), mode: 0o755 },
    ...applets
      .filter(name => name !== 'busybox' && name !== 'sh')
      .map(name => ({ name: `bin/${name}`, type: 'link' as const, linkName: 'bin/busybox' })),
    { name: 'bin/sh', content: readFileSync(sh), mode: 0o755 },
    // Debian's busybox has no such applets.
    { name: 'bin/ipcs', content: '#!/bin/ash\nexec cat /proc/sysvipc/shm\n', mode: 0o755 },
    { name: 'bin/pgrep', content: '#!/bin/ash\nexec pidof "$1"\n', mode: 0o755 },
    { name: 'etc/' },
    { name: 'etc/passwd', content: `${USERS.join('\n')}\n` },
    { name: 'etc/group', content: `${GROUPS.join('\n')}\nusers:x:100:\n` },
    { name: 'tmp/', mode: 0o1777 },
  ]);
}

/** Assembled again only when its definition is newer. */
async function archiveOf(definition: string): Promise<string> {
  const file = join(root, 'critest/images', `${definition}.yaml`);
  const archive = join(cache, 'images', `${definition}.tar`);
  if (existsSync(archive) && statSync(archive).mtimeMs > statSync(file).mtimeMs) return archive;
  console.log(`assembling ${definition} …`);
  const lockPath = join(cache, 'images', `${definition}.lock`);
  const assembled = await assembleArchive(file, { cacheDir: join(cache, 'packages'), lockPath });
  await pipeline(assembled.archive, createWriteStream(`${archive}.part`));
  renameSync(`${archive}.part`, archive);
  return archive;
}
