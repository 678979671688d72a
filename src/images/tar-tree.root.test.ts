import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { temporaryDirectory } from './fixtures.ts';
import { TarSink } from './tar-sink.ts';
import { TarTree } from './tar-tree.ts';

const SECRET = 'not of this tree';

/** An archive of `directory`, in which `swap` changes something after its file `spot` was seen and before it is opened. */
function archive(directory: string, swap: () => void): Buffer {
  const parts: Buffer[] = [];
  const sink = new TarSink(Buffer.alloc(64 << 10), full => {
    parts.push(Buffer.from(full));
    return Buffer.alloc(64 << 10);
  });
  let hasSwapped = false;
  const tree = new TarTree({
    sink,
    // Asked for the header, for the directory first.
    toOwner(uid, gid) {
      if (uid === 7 && !hasSwapped) {
        hasSwapped = true;
        swap();
      }
      return { uid, gid };
    },
  });
  tree.add(directory, 'tree');
  tree.end();
  assert.ok(hasSwapped);
  return Buffer.concat(parts);
}

/** Somebody who waits to write to a pipe, which ends as soon as anybody opens that. */
async function waiter(pipe: string) {
  execFileSync('mkfifo', [pipe]);
  const writer = spawn('sh', ['-c', `: > ${pipe}`], { stdio: 'ignore' });
  await once(writer, 'spawn');
  const deadline = performance.now() + 10_000;
  while (!/\(sh\) S/.test(readFileSync(`/proc/${writer.pid}/stat`, 'latin1'))) {
    assert.ok(performance.now() < deadline, 'it does not wait');
    await pause(5);
  }
  return writer;
}

test('what comes into a file’s place after it was seen is not opened: a pipe or device would notice', async () => {
  await using tree = await temporaryDirectory();
  await using elsewhere = await temporaryDirectory();
  const [directory, outside] = [tree.path, elsewhere.path];
  writeFileSync(join(directory, 'spot'), 'seen');
  execFileSync('chown', ['7', join(directory, 'spot')]);
  writeFileSync(join(directory, 'zzz'), 'behind it');
  const swapped = await waiter(join(outside, 'swapped'));
  const other = await waiter(join(outside, 'other'));
  try {
    const bytes = archive(directory, () => renameSync(join(outside, 'swapped'), join(directory, 'spot')));
    assert.ok(!bytes.includes('tree/spot'));
    assert.ok(bytes.includes('behind it'));
    // Whoever was let go later has ended.
    createReadStream(join(outside, 'other')).resume();
    await once(other, 'exit');
    assert.equal(swapped.exitCode, null);
  } finally {
    swapped.kill('SIGKILL');
    other.kill('SIGKILL');
  }
});

test('a link or another file in its place is not read', async () => {
  for (const replacement of ['link', 'secret']) {
    await using tree = await temporaryDirectory();
    await using elsewhere = await temporaryDirectory();
    const [directory, outside] = [tree.path, elsewhere.path];
    writeFileSync(join(directory, 'spot'), 'seen');
    execFileSync('chown', ['7', join(directory, 'spot')]);
    writeFileSync(join(outside, 'secret'), SECRET);
    symlinkSync(join(outside, 'secret'), join(outside, 'link'));
    const bytes = archive(directory, () => renameSync(join(outside, replacement), join(directory, 'spot')));
    assert.ok(!bytes.includes(SECRET), replacement);
    assert.ok(!bytes.includes('tree/spot'), replacement);
  }
});
