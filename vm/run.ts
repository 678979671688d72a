/**
 * Runs test files of the repo as root in a virtual machine: Debian's stock kernel under QEMU, without hardware help, where control groups are v2.
 *
 *   node vm/run.ts [--systemd] [--only PATTERN] [test file …]
 *
 * `--systemd` boots systemd, which then owns the tree of control groups; otherwise a few lines of shell are the first process. The exit code is
 * the tests'. Kernel and root file system are made once, below `.cache/vm`; the sources are taken as they are now. Everything is some fifteen
 * times slower than outside: tests that judge times do not belong here.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { buildInitrd, findKernel } from './kernel.ts';
import { buildRoot, buildSources } from './root.ts';

const DEFAULT_TESTS = [
  'src/engine/engine.crun.root.test.ts',
  'src/linux/cgroup.root.test.ts',
  'src/engine/writable-quotas.root.test.ts',
  'src/engine/apparmor.root.test.ts',
  'src/engine/checkpoint.root.test.ts',
];
const TIMEOUT_MS = 15 * 60_000;
const MEMORY_MB = 1536;

const { values, positionals } = parseArgs({ allowPositionals: true, options: { systemd: { type: 'boolean' }, only: { type: 'string' } } });
process.exitCode = await runInside(positionals.length > 0 ? positionals : DEFAULT_TESTS, values.systemd ?? false);

async function runInside(tests: readonly string[], hasSystemd: boolean): Promise<number> {
  const kernel = findKernel();
  const command = [
    'console=ttyS0',
    'quiet',
    'panic=-1',
    'mitigations=off',
    `vm.tests=${tests.join(',')}`,
    'systemd.unified_cgroup_hierarchy=1',
  ];
  if (values.only !== undefined) command.push(`vm.only=${values.only.replaceAll(' ', '.')}`);
  if (hasSystemd)
    command.push(
      'vm.systemd',
      'systemd.unit=test.service',
      'systemd.mask=systemd-logind.service',
      'systemd.show_status=0',
      'systemd.log_level=warning',
    );
  const disk = (file: string, id: string) => [
    ...['-drive', `id=${id},file=${file},format=raw,if=none,snapshot=on`],
    ...['-device', `virtio-blk-pci,drive=${id}`],
  ];
  const qemu = spawn(
    'qemu-system-x86_64',
    [
      ...['-accel', 'tcg,thread=multi', '-M', 'q35', '-cpu', 'max', '-smp', '2', '-m', String(MEMORY_MB)],
      ...['-nodefaults', '-no-user-config', '-nographic', '-no-reboot', '-serial', 'stdio'],
      ...['-kernel', kernel.image, '-initrd', buildInitrd(kernel), '-append', command.join(' ')],
      ...disk(buildRoot(kernel), 'root'),
      ...disk(buildSources(), 'sources'),
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const late = setTimeout(() => qemu.kill('SIGKILL'), TIMEOUT_MS);
  let code = 1; // a machine that ends without a word has failed
  const lines = createInterface({ input: qemu.stdout });
  lines.on('line', line => {
    const said = /^vm: exit (\d+)/.exec(line);
    if (said) code = Number(said[1]);
    else console.log(line);
  });
  await once(qemu, 'close');
  clearTimeout(late);
  return code;
}
