import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createLog } from '#base/log.ts';
import { CRON_TABS, INHABITANTS } from './malformed/inhabitants.ts';
import { Random } from './malformed/random.ts';
import { type MalformedRequest, MalformedRequests } from './malformed/requests.ts';
import { type Answer, at, startTestCluster, type TestCluster } from './test-cluster.ts';

const REQUESTS = Number(process.env.UMIAK_FUZZ_REQUESTS ?? (process.env.UMIAK_SOAK ? 1_000_000 : 10_000));
const seed = Number(process.env.UMIAK_SEED ?? Date.now() % 1e9);
const AT_ONCE = 32;
const LONGEST_MS = 30_000;
const PROGRESS_MS = 10_000;
const MOST_FAILURES = 20;
const MOST_GROWTH_BYTES = 64 << 20;

/** What the server wrote of requests that it could not answer: the stack that a 500 keeps to itself. */
const complaints: string[] = [];
let cluster: TestCluster;
before(async () => {
  cluster = await startTestCluster({ log: createLog({ level: 'error', write: line => complaints.push(line) }) });
  for (const [path, body] of INHABITANTS) {
    const { status, text } = await cluster.call('POST', path, body);
    assert.equal(status, 201, `${path}: ${text}`);
  }
});
after(() => cluster?.[Symbol.asyncDispose]());

test(`${REQUESTS} malformed requests (seed ${seed}) each get a Status with a code below 500, and the server lives on`, {
  timeout: LONGEST_MS + REQUESTS * 20,
}, async () => {
  const requests = new MalformedRequests(new Random(seed), [CRON_TABS]);
  const codes = new Map<number, number>();
  const failures = new Map<string, string>();
  const began = performance.now();
  let nextWord = began + PROGRESS_MS;
  let sent = 0;
  await sendAll(REQUESTS / 2);
  const early = heapBytes();
  await sendAll(REQUESTS / 2);
  const growth = heapBytes() - early;
  console.log('codes', Object.fromEntries([...codes].sort()), `heap ${early >> 20} MiB, then ${growth >> 20} MiB more`);
  assert.equal(failures.size, 0, `seed ${seed}:\n${[...failures.values()].join('\n\n')}`);
  assert.equal((await cluster.call('GET', '/readyz')).text, 'ok');
  assert.equal((await cluster.call('GET', '/api/v1/namespaces/default/configmaps?limit=1')).status, 200);
  assert.ok(growth < MOST_GROWTH_BYTES, `the heap has grown by ${growth} bytes`);

  async function sendAll(count: number): Promise<void> {
    let left = count;
    const sender = async () => {
      while (left-- > 0 && failures.size < MOST_FAILURES) {
        await send(requests.next());
        progress();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, sender));
  }

  /** Now and then, for those who watch a long run. */
  function progress(): void {
    sent++;
    if (performance.now() < nextWord) return;
    nextWord = performance.now() + PROGRESS_MS;
    const { heapUsed, rss } = process.memoryUsage();
    const rate = Math.round(sent / ((performance.now() - began) / 1000));
    console.error(
      `… ${sent} of ${REQUESTS} requests, ${rate} /s, heap ${heapUsed >> 20} MiB, in all ${Math.round(rss / 2 ** 20)} MiB, ${failures.size} failures`,
    );
  }

  async function send(request: MalformedRequest): Promise<void> {
    const { method, path, headers, body } = request;
    const before = complaints.length;
    const answer = await inTime(cluster.call(method, path, body, headers)).catch(error => String(error));
    if (typeof answer === 'object') codes.set(answer.status, (codes.get(answer.status) ?? 0) + 1);
    const problem = typeof answer === 'string' ? answer : problemOf(request, answer);
    if (!problem) return;
    const stack = complaints.slice(before).find(line => line.includes(JSON.stringify(path).slice(1, -1))) ?? '';
    const [frame = problem] = /\((?:file:)?[^)]*:\d+:\d+\)/.exec(stack) ?? [];
    if (!failures.has(frame)) console.error(`… ${method} ${path}: ${problem.slice(0, 300)} ${frame}`);
    failures.set(frame, `${method} ${path} ${JSON.stringify(headers)}\n${String(body).slice(0, 2000)}\n→ ${problem}\n${stack}`);
  }
});

/** What is wrong with an answer to anything at all. */
function problemOf({ method, path }: MalformedRequest, { status, headers, text, body }: Answer): string | undefined {
  const shown = `${status} ${text.slice(0, 500)}`;
  const isFair =
    status === 501 ||
    (status === 503 && path.includes('/proxy')) ||
    (status === 504 && text.includes('Too large resource version')) ||
    // Kubernetes answers this one with a 500 that its clients know.
    (path.includes('/eviction') && text.includes('more than one PodDisruptionBudget'));
  if (status >= 500 && !isFair) return shown;
  if (status < 400 || method === 'HEAD' || !String(headers['content-type']).includes('json')) return undefined;
  if (at(body, 'kind') !== 'Status' || at(body, 'code') !== status || !at(body, 'reason') || !at(body, 'message')) return shown;
  const causes = (at(body, 'details.causes') ?? []) as unknown[];
  return status === 422 && causes.some(cause => at(cause, 'field') === undefined || !at(cause, 'reason')) ? shown : undefined;
}

async function inTime(answer: Promise<Answer>): Promise<Answer> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`no answer within ${LONGEST_MS} ms`)), LONGEST_MS);
  try {
    return await Promise.race([answer, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** What lives after everything that nobody holds has gone. */
function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  return process.memoryUsage().heapUsed;
}

const oversized: [name: string, body: string, headers: Record<string, string>][] = [
  ['declared', 'x'.repeat((3 << 20) + 1), {}],
  ['of a YAML', `a: ${'x'.repeat(4 << 20)}`, { 'content-type': 'application/yaml' }],
];
for (const [name, body, headers] of oversized)
  test(`a body that is too large (${name}) is refused with 413`, async () => {
    const answer = await cluster.call('POST', '/api/v1/namespaces/default/configmaps', body, headers);
    assert.equal(answer.status, 413);
    assert.equal(at(answer.body, 'reason'), 'RequestEntityTooLarge');
  });
