import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { buildTar } from '#images/fixtures.ts';
import { MS_SHARED, mount, umount } from '#linux/mount.ts';
import { mountsBelow } from '#linux/mount-table.ts';
import { findDockerClients } from '#tests/docker-clients.ts';
import { busyboxArchive, DockerHost, dockerArchive } from '#tests/docker-host.ts';

const { have: clients } = await findDockerClients();

describe('volumes and mounts over the docker command', { skip: clients ? false : 'no docker command' }, () => {
  let host: DockerHost;
  let outside: string;
  before(async () => {
    host = await DockerHost.start({ clients });
    outside = join(host.cluster.directory, 'outside');
    mkdirSync(outside);
  });
  after(() => host?.[Symbol.asyncDispose]());

  const docker = (...args: string[]) => host.docker(...args);
  const sh = (options: string[], script: string) => docker('run', '--rm', '--network', 'none', ...options, 'busybox', 'sh', '-c', script);
  const refused = async (...args: string[]) => {
    const { code, stderr } = await host.tryDocker(args);
    assert.notEqual(code, 0, `docker ${args.join(' ')} was not refused`);
    return stderr;
  };

  test('a volume is created, listed, inspected, shared, held by its container, removed', async () => {
    assert.equal(await docker('volume', 'create', '--label', 'tier=db', 'data'), 'data');
    assert.equal(await docker('volume', 'create', 'data'), 'data');
    await sh(['-v', 'data:/d'], 'echo kept > /d/file');
    assert.equal(
      await sh(['--mount', 'type=volume,src=data,dst=/e,readonly'], 'cat /e/file; touch /e/x 2>/dev/null || echo read-only'),
      'kept\nread-only',
    );
    assert.equal(await docker('volume', 'ls', '-q', '-f', 'label=tier=db'), 'data');
    const path = await docker('volume', 'inspect', '-f', '{{.Mountpoint}}', 'data');
    assert.equal(readFileSync(join(path, 'file'), 'utf8'), 'kept\n');
    const id = await docker('create', '-v', 'data:/d', 'busybox');
    assert.equal(
      await docker('inspect', '-f', '{{json .Mounts}}', id),
      JSON.stringify([
        { Type: 'volume', Name: 'data', Source: path, Destination: '/d', Driver: 'local', Mode: '', RW: true, Propagation: '' },
      ]),
    );
    assert.match(await refused('volume', 'rm', 'data'), new RegExp(`remove data: volume is in use - \\[${id}\\]`));
    assert.equal(await docker('volume', 'ls', '-q', '-f', 'dangling=true'), '');
    assert.match(await docker('system', 'df', '-v'), /data +1 +/);
    await docker('rm', id);
    assert.equal(await docker('volume', 'rm', 'data'), 'data');
    assert.match(await refused('volume', 'inspect', 'data'), /get data: no such volume/);
    assert.equal(existsSync(path), false);
  });

  test('--rm and rm -v take nameless volumes, prune those that nobody has', async () => {
    await sh(['-v', '/scratch'], 'touch /scratch/x');
    assert.equal(await docker('volume', 'ls', '-q'), '');
    await docker('create', '--name', 'holder', '-v', '/scratch', '-v', 'named:/n', 'busybox');
    await docker('rm', 'holder');
    assert.equal((await docker('volume', 'ls', '-q')).split('\n').length, 2);
    assert.match(await docker('volume', 'prune', '-f'), /^Deleted Volumes:\n[0-9a-f]{64}\n/);
    assert.match(await docker('volume', 'prune', '-af'), /named/);
    await docker('create', '--name', 'holder', '-v', '/scratch', 'busybox');
    await docker('rm', '-v', 'holder');
    assert.equal(await docker('volume', 'ls', '-q'), '');
  });

  test('a new volume gets what the image has there, once', async () => {
    const layer = buildTar([
      { name: 'srv/data/', mode: 0o750, uid: 7, gid: 8 },
      { name: 'srv/data/file', content: 'of the image', uid: 7, gid: 8 },
    ]);
    const { status } = await host.api(
      'POST',
      '/images/load?quiet=1',
      dockerArchive([layer], { Volumes: { '/srv/data': {} }, Cmd: ['/x'] }, ['seeded']),
    );
    assert.equal(status, 200);
    const id = await docker('create', 'seeded');
    const [{ Source, Name }] = JSON.parse(await docker('inspect', '-f', '{{json .Mounts}}', id));
    assert.equal(readFileSync(join(Source, 'file'), 'utf8'), 'of the image');
    assert.equal(await sh(['-v', `${Name}:/x`], 'stat -c "%u:%g %a" /x'), '7:8 750');
    await docker('rm', '-v', id);
    await docker('create', '--name', 'plain', '-v', 'bare:/srv/data:nocopy', 'seeded');
    assert.equal(await sh(['-v', 'bare:/x'], 'ls /x'), '');
    await docker('rm', 'plain');
    await docker('volume', 'rm', 'bare');
  });

  test('paths of the machine: made for -v, refused for --mount, below and above each other', async () => {
    const made = join(outside, 'made');
    await sh(['-v', `${made}:/m`], 'echo hi > /m/file');
    assert.equal(readFileSync(join(made, 'file'), 'utf8'), 'hi\n');
    assert.match(await refused('run', '--mount', `type=bind,src=${outside}/none,dst=/m`, 'busybox'), /bind source path does not exist: /);
    assert.equal(existsSync(join(outside, 'none')), false);
    assert.equal(await sh(['-v', `${made}/file:/one:ro`, '-v', `${outside}:/all`], 'cat /one /all/made/file'), 'hi\nhi');
    assert.match(await refused('run', '-v', `${made}:/m`, '--mount', 'type=tmpfs,dst=/m', 'busybox'), /Duplicate mount point: \/m/);
    assert.match(await refused('run', '-v', 'a/b:/m', 'busybox'), /includes invalid characters for a local volume name/);
    assert.match(await refused('run', '-v', `${made}:/m:wrong`, 'busybox'), /invalid mode: wrong/);
    assert.match(await refused('run', '--volume-driver', 'rexray', '-v', 'far:/m', 'busybox'), /plugin "rexray" not found/);
  });

  test('what is mounted below a source is seen, but not with bind-recursive=disabled; read-only goes all the way down', async () => {
    const tree = join(outside, 'tree');
    mkdirSync(join(tree, 'sub'), { recursive: true });
    mount('tmpfs', join(tree, 'sub'), 'tmpfs');
    try {
      writeFileSync(join(tree, 'sub', 'inner'), 'inner');
      assert.equal(await sh(['-v', `${tree}:/t`], 'ls /t/sub'), 'inner');
      assert.equal(await sh(['--mount', `type=bind,src=${tree},dst=/t,bind-recursive=disabled`], 'ls /t/sub'), '');
      assert.equal(await sh(['-v', `${tree}:/t:ro`], 'touch /t/sub/x 2>/dev/null || echo no'), 'no');
      assert.equal(await sh(['--mount', `type=bind,src=${tree},dst=/t,ro,bind-recursive=writable`], 'touch /t/sub/x && echo yes'), 'yes');
    } finally {
      umount(join(tree, 'sub'), { detach: true });
    }
  });

  test('propagation: what is mounted later is seen behind shared and slave binds, and goes out of shared ones alone', async () => {
    const tree = join(outside, 'shared');
    const inner = join(tree, 'inner');
    mkdirSync(tree);
    mount('tmpfs', tree, 'tmpfs');
    try {
      mount('none', tree, null, MS_SHARED);
      mkdirSync(inner);
      const modes = ['rprivate', 'rslave', 'rshared', 'private', 'slave', 'shared'];
      for (const mode of modes)
        await docker('run', '-d', '--name', mode, '--network', 'none', '-v', `${tree}:/t:${mode}`, 'busybox', 'sleep', '600');
      mount('tmpfs', inner, 'tmpfs');
      writeFileSync(join(inner, 'late'), '');
      const see = async (mode: string) => (await docker('exec', mode, 'ls', '/t/inner')) === 'late';
      for (const mode of modes) assert.equal(await see(mode), !mode.endsWith('private'), mode);
      umount(inner);
      for (const [mode, isOut] of [
        ['rslave', false],
        ['rshared', true],
      ] as const) {
        const bind = `type=bind,src=${tree},dst=/t,bind-propagation=${mode}`;
        await sh(['--privileged', '--mount', bind], 'mount -t tmpfs x /t/inner');
        assert.equal(mountsBelow(tree).includes(inner), isOut, mode);
      }
      umount(inner);
      await docker('rm', '-f', ...modes);
    } finally {
      umount(tree, { detach: true });
    }
  });

  test('tmpfs, by both ways', async () => {
    const seen = "awk '$2 ~ /^.[tu]mp1$/ {print $2, $3, $4}' /proc/mounts";
    const out = await sh(['--tmpfs', '/tmp1:size=64k,mode=1770,exec', '--mount', 'type=tmpfs,dst=/ump1,tmpfs-size=65536'], seen);
    assert.match(out, /^\/tmp1 tmpfs rw,nosuid,nodev,relatime,size=64k,mode=1770.*$/m);
    assert.match(out, /^\/ump1 tmpfs rw,nosuid,nodev,noexec,relatime,size=64k/m);
  });

  test('a part of a volume, and images as mounts', async () => {
    await sh(['-v', 'parts:/p'], 'mkdir -p /p/a/b; echo deep > /p/a/b/file; ln -s / /p/out');
    assert.equal(await sh(['--mount', 'type=volume,src=parts,dst=/x,volume-subpath=a/b'], 'cat /x/file'), 'deep');
    assert.equal(await sh(['--mount', 'type=volume,src=parts,dst=/x,volume-subpath=a/b/file'], 'cat /x'), 'deep');
    assert.match(
      await refused('run', '--rm', '--mount', 'type=volume,src=parts,dst=/x,volume-subpath=none', 'busybox', 'true'),
      /cannot access path none/,
    );
    assert.match(
      await refused('run', '--rm', '--mount', 'type=volume,src=parts,dst=/x,volume-subpath=out', 'busybox', 'true'),
      /path concatenation escapes the base directory/,
    );
    assert.equal(
      await sh(['--mount', 'type=image,src=busybox,dst=/i'], 'ls /i/etc/passwd; touch /i/x 2>/dev/null || echo no'),
      '/i/etc/passwd\nno',
    );
    await docker('volume', 'rm', 'parts');
  });

  test('--volumes-from', async () => {
    await docker('create', '--name', 'from', '-v', 'given:/g', '-v', '/nameless', 'busybox');
    assert.equal(await sh(['--volumes-from', 'from'], 'touch /g/x /nameless/y && ls /g /nameless | grep -c [xy]'), '2');
    assert.equal(await sh(['--volumes-from', 'from:ro'], 'touch /g/z 2>/dev/null || echo no'), 'no');
    assert.equal((await docker('volume', 'ls', '-q')).split('\n').length, 2);
    assert.match(await refused('run', '--volumes-from', 'nobody', 'busybox'), /No such container: nobody/);
    await docker('rm', '-v', 'from');
    await docker('volume', 'rm', 'given');
  });

  test('a volume’s own file system is there while it is used, over a killed agent, too', async () => {
    await docker('volume', 'create', '-o', 'type=tmpfs', '-o', 'device=tmpfs', '-o', 'o=size=1m,uid=1000', 'mem');
    const path = await docker('volume', 'inspect', '-f', '{{.Mountpoint}}', 'mem');
    await docker('run', '-d', '--network', 'none', '--name', 'user', '-v', 'mem:/m', 'busybox', 'sleep', '1000');
    assert.equal(mountsBelow(path).length, 1);
    assert.equal(await docker('exec', 'user', 'stat', '-c', '%u', '/m'), '1000');
    await host.killAgent();
    await host.startAgent();
    assert.equal(mountsBelow(path).length, 1);
    await docker('rm', '-f', 'user');
    assert.equal(mountsBelow(path).length, 0);
    await docker('volume', 'rm', 'mem');
  });

  test('events of volumes', async () => {
    const since = Math.floor(Date.now() / 1000);
    await sh(['-v', 'seen:/s'], 'true');
    await docker('volume', 'rm', 'seen');
    const told = await docker(
      'events',
      '--since',
      String(since - 1),
      '--until',
      String(since + 60 - 58),
      '-f',
      'type=volume',
      '-f',
      'volume=seen',
      '--format',
      '{{.Action}}',
    );
    assert.deepEqual(told.split('\n'), ['create', 'mount', 'unmount', 'destroy']);
  });

  test('rmi in docker’s words, df, search without a registry', async () => {
    assert.equal((await host.api('POST', '/images/load?quiet=1', await busyboxArchive('other:1'))).status, 200);
    await docker('rmi', 'other:1');
    await docker('create', '--name', 'keeps', 'busybox');
    const words =
      /conflict: unable to remove repository reference "busybox" \(must force\) - container [0-9a-f]{12} is using its referenced image/;
    assert.match(await refused('rmi', 'busybox'), words);
    assert.match(await docker('info', '-f', '{{.Containers}} {{.ContainersStopped}} {{.ServerVersion}}'), /^[1-9]\d* [1-9]/);
    assert.match(await docker('system', 'df'), /^Images +\d +1 [\s\S]*^Containers +1 +0/m);
    assert.match(await refused('search', '127.0.0.1:1/nothing'), /can't be reached/);
    await docker('rm', 'keeps');
    rmSync(outside, { recursive: true });
  });
});
