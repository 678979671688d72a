import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Cgroup, readCgroupLayout } from '#linux/cgroup.ts';

const run = promisify(execFile);

/** `crun run` of `true` over a prepared bundle: no monitor, overlay, address, log, limits or seccomp. The floor under every engine that uses it. */
export async function openCrun(root: Buffer): Promise<AsyncDisposable & { runOnce(): Promise<void> }> {
  await using stack = new AsyncDisposableStack();
  const name = `umiak-bench-crun-${process.pid}`;
  const directory = mkdtempSync(join(tmpdir(), `${name}-`));
  stack.defer(() => rmSync(directory, { recursive: true, force: true }));
  stack.defer(() => void new Cgroup(readCgroupLayout(), `/${name}`).remove());
  mkdirSync(join(directory, 'rootfs'));
  execFileSync('tar', ['-x', '-C', join(directory, 'rootfs')], { input: root });
  const namespaces = ['pid', 'ipc', 'uts', 'mount', 'network'].map(type => ({ type }));
  const spec = {
    ociVersion: '1.0.2',
    root: { path: 'rootfs', readonly: true },
    process: { cwd: '/', user: { uid: 0, gid: 0 }, env: ['PATH=/bin'], args: ['true'] },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs' },
    ],
    linux: { cgroupsPath: `/${name}/one`, namespaces },
  };
  let count = 0;
  const owned = stack.move();
  return {
    async runOnce() {
      const id = `${name}-${count++}`;
      const bundle = join(directory, id);
      mkdirSync(bundle);
      const config = {
        ...spec,
        root: { ...spec.root, path: join(directory, 'rootfs') },
        linux: { namespaces, cgroupsPath: `/${name}/${id}` },
      };
      writeFileSync(join(bundle, 'config.json'), JSON.stringify(config));
      await run('crun', ['--root', join(directory, 'state'), 'run', '-b', bundle, id]);
      rmSync(bundle, { recursive: true });
    },
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}
