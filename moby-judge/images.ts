import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { buildTar } from '#images/fixtures.ts';
import { busyboxLayer, type DockerHost, dockerArchive } from '../tests/docker-host.ts';

/** Of the published image, as far as tests name them. */
const USERS = ['root:x:0:0:root:/root:/bin/sh', 'daemon:x:1:1:daemon:/usr/sbin:/bin/false', 'bin:x:2:2:bin:/bin:/bin/false'];
const GROUPS = ['root:x:0:', 'daemon:x:1:', 'bin:x:2:', 'wheel:x:10:root', 'audio:x:29:', 'www-data:x:33:', 'staff:x:50:', 'users:x:100:'];
const NOBODY = ['nobody:x:65534:65534:nobody:/home:/bin/false', 'nobody:x:65534:'] as const;

/** `addgroup -g GID NAME` and `adduser -D [-u UID] [-G GROUP] NAME`, which Debian's busybox lacks. */
const ADDGROUP = '#!/bin/sh\necho "$3:x:$2:" >>/etc/group\n';
const ADDUSER = `#!/bin/sh
uid=1000
while getopts Du:G: option; do
  case $option in u) uid=$OPTARG ;; G) group=$OPTARG ;; esac
done
shift $((OPTIND - 1))
[ "$group" ] || { group=$1; echo "$1:x:$uid:" >>/etc/group; }
echo "$1:x:$uid:$(grep "^$group:" /etc/group | cut -d: -f3)::/home/$1:/bin/sh" >>/etc/passwd
mkdir -p "/home/$1"
`;

/** Loads what moby calls its frozen images, made here: they behave as the published ones where tests look. */
export async function loadFrozenImages(host: DockerHost, hello: string): Promise<void> {
  const published = buildTar([
    { name: 'bin/addgroup', content: ADDGROUP, mode: 0o755 },
    { name: 'bin/adduser', content: ADDUSER, mode: 0o755 },
    { name: 'etc/passwd', content: `${[...USERS, NOBODY[0]].join('\n')}\n` },
    { name: 'etc/group', content: `${[...GROUPS, NOBODY[1]].join('\n')}\n` },
    { name: 'home/' },
    { name: 'usr/sbin/' },
    { name: 'var/www/' },
  ]);
  const busybox = [await busyboxLayer(), published];
  const greeting = (architecture: string) => [
    buildTar([{ name: 'hello', content: readFileSync(hello), mode: 0o755 }, marked(architecture)]),
  ];
  const Env = ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'];
  const load = async (archive: Buffer) => {
    const { status, text } = await host.api('POST', '/images/load?quiet=1', archive);
    assert.equal(status, 200, text);
  };
  await load(dockerArchive(busybox, { Cmd: ['sh'], Env }, ['busybox:latest']));
  for (const name of ['busybox:glibc', 'debian:bookworm-slim'])
    await load(dockerArchive([...busybox, buildTar([marked(name)])], { Cmd: ['sh'], Env }, [name]));
  await load(dockerArchive(greeting('host'), { Cmd: ['/hello'], Env }, ['hello-world:frozen']));
  await load(dockerArchive(greeting('amd64'), { Cmd: ['/hello'], Env }, ['hello-world:amd64'], { os: 'linux', architecture: 'amd64' }));
  await load(dockerArchive(greeting('arm64'), { Cmd: ['/hello'], Env }, ['hello-world:arm64'], { os: 'linux', architecture: 'arm64' }));
  const arm = { os: 'linux', architecture: 'arm', variant: 'v7' };
  await load(dockerArchive(greeting('arm'), { Cmd: ['/hello'], Env }, ['arm32v7/hello-world:latest'], arm));
}

/** What tells an image from another. */
const marked = (content: string) => ({ name: 'image', content });
