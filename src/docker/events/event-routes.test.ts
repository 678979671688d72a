import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { temporaryDirectory } from '#images/fixtures.ts';
import type { ImageStore } from '#images/index.ts';
import { startDockerApi } from '../docker-api.ts';
import { EventJournal } from './event-journal.ts';

let stack: AsyncDisposableStack;
let socketPath: string;
let journal: EventJournal;

before(async () => {
  stack = new AsyncDisposableStack();
  const directory = stack.use(await temporaryDirectory()).path;
  socketPath = join(directory, 'docker.sock');
  journal = stack.use(new EventJournal({ dataDir: directory, mostBehind: 2_000, clock: systemClock, log: silentLog }));
  stack.use(await startDockerApi({ socketPath, images: {} as ImageStore, journal, version: '9.9.9', log: silentLog }));
});
after(() => stack.disposeAsync());

/** A stream of events, whose head is here. */
async function open(query: Record<string, string> = {}): Promise<{ sent: ClientRequest; response: IncomingMessage }> {
  const sent = request({ socketPath, path: `/v1.43/events?${new URLSearchParams(query)}` });
  sent.on('error', () => {});
  sent.end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  response.on('error', () => {});
  return { sent, response };
}

async function whole(query: Record<string, string>): Promise<{ status: number | undefined; text: string }> {
  const { response } = await open(query);
  return { status: response.statusCode, text: Buffer.concat(await response.toArray()).toString() };
}

const tell = (action: string, id = 'c1', more: Record<string, string> = {}) =>
  journal.emit({ type: 'container', action, id, attributes: { image: 'i', name: id, ...more } });
const actionsOf = (text: string) =>
  text
    .split('\n')
    .filter(Boolean)
    .map(line => JSON.parse(line).Action);

describe('GET /events', () => {
  it('is open before anything happens, and tells what does', async () => {
    const { sent, response } = await open({ filters: JSON.stringify({ container: ['live'] }) });
    tell('start', 'other');
    tell('start', 'live');
    const [line] = (await once(response, 'data')) as [Buffer];
    const event = JSON.parse(line.toString());
    assert.deepEqual([event.status, event.id, event.from, event.Actor.Attributes.name], ['start', 'live', 'i', 'live']);
    sent.destroy();
  });

  it('tells what was and ends where asked to', async () => {
    const now = Date.now() / 1000;
    tell('create', 'past');
    tell('start', 'past');
    const filters = JSON.stringify({ container: ['past'] });
    const { text } = await whole({ since: (now - 1).toFixed(3), until: (now + 0.5).toFixed(3), filters });
    assert.deepEqual(actionsOf(text), ['create', 'start']);
    assert.deepEqual(actionsOf((await whole({ until: String(now - 100), filters })).text), []);
  });

  it('what was comes before what is, each once', async () => {
    const now = Date.now() / 1000;
    const filters = JSON.stringify({ container: ['both'] });
    for (let n = 0; n < 500; n++) tell(`a${n}`, 'both');
    const { sent, response } = await open({ since: (now - 1).toFixed(3), filters });
    for (let n = 500; n < 1000; n++) tell(`a${n}`, 'both');
    let text = '';
    response.on('data', (chunk: Buffer) => (text += chunk));
    while (text.split('\n').length <= 1_000) await once(response, 'data');
    assert.deepEqual(
      actionsOf(text),
      Array.from({ length: 1000 }, (_, n) => `a${n}`),
    );
    sent.destroy();
  });

  for (const [query, message] of [
    [{ since: '2', until: '1' }, /cannot be after/],
    [{ since: 'x' }, /neither seconds/],
    [{ filters: '{' }, /invalid filters/],
  ] as const)
    it(`refuses ${JSON.stringify(query)}`, async () => {
      const { status, text } = await whole(query);
      assert.equal(status, 400);
      assert.match(JSON.parse(text).message, message);
    });

  it('cuts off who does not read; others get all', { timeout: 30_000 }, async () => {
    const filters = JSON.stringify({ container: ['flood'] });
    const stuck = connect(socketPath);
    stuck.write(`GET /events?${new URLSearchParams({ filters })} HTTP/1.1\r\nHost: d\r\n\r\n`);
    await once(stuck, 'readable');
    const quick = await open({ filters });
    let got = 0;
    quick.response.on('data', (chunk: Buffer) => (got += chunk.toString().split('\n').length - 1));
    for (let n = 0; n < 6_000; n += 200) {
      for (let k = 0; k < 200; k++) tell('start', 'flood', { big: 'x'.repeat(1_000) });
      while (got < n + 200) await once(quick.response, 'data');
    }
    stuck.on('error', () => {}).resume();
    await once(stuck, 'close');
    assert.equal(got, 6_000);
    quick.sent.destroy();
  });

  it('a thousand streams are told, and the event loop goes on meanwhile', { timeout: 60_000 }, async () => {
    const streams: Awaited<ReturnType<typeof open>>[] = [];
    const filters = JSON.stringify({ event: ['many'] });
    while (streams.length < 1_000) streams.push(...(await Promise.all(Array.from({ length: 100 }, () => open({ filters })))));
    const all = Promise.all(streams.map(({ response }) => once(response, 'data')));
    tell('many');
    tell('few');
    await all;
    for (const { sent } of streams) sent.destroy();
  });
});
