import assert from 'node:assert/strict';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import { sendChunks, spend, spending } from './spent.ts';

test('a chunk that fills its memory gives it back, one that shares it does not', () => {
  const own = Buffer.allocUnsafeSlow(64 << 10);
  spend(own);
  assert.equal(own.byteLength, 0);
  const pooled = Buffer.allocUnsafe(1 << 10);
  const part = Buffer.allocUnsafeSlow(256 << 10).subarray(1 << 10);
  const shared = new Uint8Array(new SharedArrayBuffer(64 << 10));
  const constant = Buffer.alloc(1 << 10);
  for (const chunk of [pooled, part, shared, constant]) {
    const { byteLength } = chunk;
    spend(chunk);
    assert.equal(chunk.byteLength, byteLength);
  }
  spend(pooled, { isAlone: true });
  assert.equal(pooled.byteLength, 1 << 10);
  spend(part, { isAlone: true });
  assert.equal(part.byteLength, 0);
});

test('chunks that came by take no memory without any collection', async () => {
  const before = process.memoryUsage().arrayBuffers;
  let most = 0;
  for await (const chunk of spending(chunks(2_000))) {
    assert.equal(chunk.byteLength, 64 << 10);
    most = Math.max(most, process.memoryUsage().arrayBuffers - before);
  }
  assert.ok(most < 1 << 20, `${most} bytes`);
});

test('a body is sent chunk by chunk, as it is taken', async () => {
  let [asked, taken] = [0, 0];
  const to = new Writable({
    highWaterMark: 1 << 30,
    write(_, __, done) {
      assert.ok(asked - taken <= 1);
      taken++;
      setImmediate(done);
    },
  });
  await sendChunks(
    to,
    (async function* () {
      for await (const chunk of chunks(50)) {
        asked++;
        yield chunk;
      }
    })(),
    { signal: new AbortController().signal },
  );
  assert.equal(taken, 50);
});

test('who sends to one that takes nothing more is let go by the signal, and the source is closed', async () => {
  const gone = new AbortController();
  let isClosed = false;
  async function* source() {
    try {
      yield* chunks(5);
    } finally {
      isClosed = true;
    }
  }
  const to = new Writable({ write: () => gone.abort(new Error('left')) });
  await assert.rejects(sendChunks(to, source(), { signal: gone.signal }), /left/);
  assert.ok(isClosed);
});

async function* chunks(count: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < count; i++) yield Buffer.allocUnsafeSlow(64 << 10);
}
