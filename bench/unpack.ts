/**
 * An image of 283 MB in five gzipped layers, from stored content to directories that overlay takes: ours beside containerd (`ctr images mount`
 * of an image imported with `--no-unpack`), in turns, in one run. Also as CPU time, which other work on the machine disturbs less.
 */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { silentLog } from '#base/log.ts';
import { openImages } from '#images/index.ts';
import { unmountBelow } from '#linux/unmount-below.ts';
import { hasDocker, startContainerd } from './peers/docker.ts';
import { type LayeredImage, makeLayeredImage } from './subject/layered-image.ts';
import { mountOwnDisk } from './subject/own-disk.ts';
import { processesMentioning } from './subject/processes.ts';
import { quantile, report } from './table.ts';

const run = promisify(execFile);
const ROUNDS = 5;
const REFERENCE = 'bench.test/layered:1';

interface Turn {
  seconds: number;
  cpuSeconds: number;
}

interface Unpacker {
  /** Unpacks the stored image, measured. Nothing is removed before all is measured: ext4 slows down where files were deleted just now. */
  turn(round: number): Promise<Turn>;
}

const parent = mkdtempSync(join(tmpdir(), `umiakbench${process.pid}-`));
try {
  await measure();
} finally {
  rmSync(parent, { recursive: true, force: true });
}

async function measure(): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(mountOwnDisk(parent, 8000)).path;
  mkdirSync(join(directory, 'image'));
  const image = await makeLayeredImage(join(directory, 'image'), REFERENCE);
  const ours = openOurs(directory, image);
  const theirs = hasDocker() ? await openContainerd(stack, directory, image) : undefined;
  const turns: { ours: Turn[]; theirs: Turn[] } = { ours: [], theirs: [] };
  for (let i = 0; i < ROUNDS; i++) {
    turns.ours.push(await ours.turn(i));
    if (theirs) turns.theirs.push(await theirs.turn(i));
  }
  tell(image, turns.ours, turns.theirs);
}

function tell({ sizeBytes, files }: LayeredImage, ours: Turn[], theirs: Turn[]): void {
  const rate = (turns: Turn[]) =>
    quantile(
      turns.map(({ seconds }) => sizeBytes / 1e6 / seconds),
      0.5,
    );
  const cpu = (turns: Turn[]) =>
    quantile(
      turns.map(({ cpuSeconds }) => cpuSeconds),
      0.5,
    );
  const peer = (of: (turns: Turn[]) => number, recorded: number) => ({
    peer:
      theirs.length > 0
        ? { name: 'containerd', value: of(theirs), measured: true }
        : { name: 'containerd', value: recorded, measured: false },
  });
  const what = `image of ${Math.round(sizeBytes / 1e6)} MB, ${files} files, 5 layers unpacked`;
  const wanted = peer(rate, 48);
  report({ what, unit: 'MB/s', better: 'more', ours: rate(ours), target: 2 * wanted.peer.value, ...wanted });
  if (theirs.length > 0) report({ what: `${what}, CPU time`, unit: 's', better: 'less', ours: cpu(ours), ...peer(cpu, 0) });
}

function openOurs(directory: string, image: LayeredImage): Unpacker {
  return {
    async turn(round) {
      await using images = await openImages({ dataDir: join(directory, `ours-${round}`), log: silentLog });
      await images.load(image.archive, { unpack: false });
      const [begun, cpu] = [performance.now(), process.cpuUsage()];
      await images.ensureUnpacked(REFERENCE);
      const [used, seconds] = [process.cpuUsage(cpu), (performance.now() - begun) / 1000];
      return { seconds, cpuSeconds: (used.user + used.system) / 1e6 };
    },
  };
}

async function openContainerd(stack: AsyncDisposableStack, directory: string, image: LayeredImage): Promise<Unpacker> {
  const root = join(directory, 'theirs');
  mkdirSync(root);
  const socket = join(root, 'containerd.sock');
  const target = join(root, 'target');
  mkdirSync(target);
  stack.defer(() => unmountBelow(root));
  await startContainerd(stack, root, socket);
  const pid = processesMentioning(root)[0]!;
  return {
    async turn(round) {
      // What is unpacked in one namespace is not there in another.
      const ctr = (...args: string[]) => run('ctr', ['-a', socket, '-n', `bench-${round}`, ...args]);
      await ctr('images', 'import', '--no-unpack', image.archive);
      const [begun, cpu] = [performance.now(), cpuSecondsOf(pid)];
      await ctr('images', 'mount', REFERENCE, target);
      const turn = { seconds: (performance.now() - begun) / 1000, cpuSeconds: cpuSecondsOf(pid) - cpu };
      await ctr('images', 'unmount', target);
      return turn;
    },
  };
}

/** Of a process and its ended children. */
function cpuSecondsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / 100;
}
