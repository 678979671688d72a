import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { seededRandom } from '#base/ids.ts';
import { buildTar } from '#images/fixtures.ts';
import { until } from './cluster.ts';
import { type Answer, DockerHost } from './docker-host.ts';

const KILLS = process.env.UMIAK_SOAK ? 200 : 40;
const SEED = Number(process.env.UMIAK_SEED) || Date.now() % 1_000_000;
const CLIENTS = 4;
/** After so many, all that was made is removed, so that a round's check stays short. */
const ROUNDS_A_CLEANING = 8;

interface Inspect {
  Id: string;
  State: { Status: string; Running: boolean; Pid: number; ExitCode: number };
  Config: { Labels: Record<string, string> };
}

/** What was acknowledged of one container, and what was asked for last and not answered. */
interface Known {
  id: string;
  name: string;
  state: 'created' | 'running' | 'stopped' | 'removed';
  /** The call that the kill took: either may be so. */
  unanswered?: string;
  /** A file that a `cp` put there. */
  file?: string;
}

/** By name: whether it is there, as acknowledged; undefined: the kill took the answer. */
type Things = Map<string, boolean | undefined>;

let host: DockerHost;
before(async () => {
  host = await DockerHost.start();
});
after(() => host?.[Symbol.asyncDispose]());

test(`kill -9 of the agent at ${KILLS} random moments of docker's calls: what was acknowledged is there (UMIAK_SEED=${SEED})`, {
  timeout: process.env.UMIAK_SOAK ? 3_600_000 : 200_000,
}, async t => {
  const random = seededRandom(SEED);
  const containers: Known[] = [];
  const things: Record<'networks' | 'volumes' | 'images', Things> = { networks: new Map(), volumes: new Map(), images: new Map() };
  let count = 0;
  let acknowledged = 0;

  for (let round = 0; round < KILLS; round++) {
    const stop = new AbortController();
    const clients = Array.from({ length: CLIENTS }, () => client(stop.signal));
    await pause(20 + random() * 350);
    await host.killAgent();
    stop.abort();
    await Promise.all(clients);
    await host.startAgent();
    await checkContainers(`round ${round} of seed ${SEED}`);
    await checkThings(`round ${round} of seed ${SEED}`);
    if (round % ROUNDS_A_CLEANING === ROUNDS_A_CLEANING - 1) await removeAll();
  }
  await removeAll();
  t.diagnostic(`${acknowledged} calls acknowledged, ${KILLS} kills`);

  /** Calls of all sorts, one after the other, until the agent is gone. */
  async function client(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const way = random();
      const isGone =
        way < 0.7 ? await life(signal) : way < 0.8 ? await thing('networks') : way < 0.9 ? await thing('volumes') : await build();
      if (isGone) return;
    }
  }

  /** The answer; undefined: the agent was killed before it came. */
  async function call(method: string, path: string, body?: unknown): Promise<Answer | undefined> {
    const answer = await host.api(method, path, body).catch(() => undefined);
    if (!answer) return undefined;
    assert.ok(answer.status < 400, `${method} ${path}: ${answer.status} ${answer.text}\n${host.agentLog()}`);
    acknowledged++;
    return answer;
  }

  /** A container from its creation to some point of its life. @returns whether the agent is gone */
  async function life(signal: AbortSignal): Promise<boolean> {
    const name = `k${count++}`;
    const network = random() < 0.5 ? 'none' : 'bridge';
    const config = { Image: 'busybox', Cmd: ['sleep', '10000'], Labels: { kills: name }, HostConfig: { NetworkMode: network } };
    const created = await call('POST', `/containers/create?name=${name}`, config);
    if (!created) return true;
    const known: Known = { id: (created.json as { Id: string }).Id, name, state: 'created' };
    containers.push(known);
    const step = async (what: string, method: string, path: string, done: () => void, body?: unknown): Promise<boolean> => {
      known.unanswered = what;
      if (!(await call(method, path, body))) return false;
      delete known.unanswered;
      done();
      return true;
    };
    const is = (state: Known['state']) => () => {
      known.state = state;
    };
    if (!(await step('start', 'POST', `/containers/${name}/start`, is('running')))) return true;
    if (random() < 0.5) {
      const tar = buildTar([{ name: 'copied', content: name }]);
      if (!(await step('cp', 'PUT', `/containers/${name}/archive?path=/tmp`, () => (known.file = '/tmp/copied'), tar))) return true;
    }
    if (random() < 0.5) {
      const exec = await call('POST', `/containers/${name}/exec`, { Cmd: ['true'] });
      if (!exec) return true;
      if (!(await step('exec', 'POST', `/exec/${(exec.json as { Id: string }).Id}/start`, () => {}, { Detach: true }))) return true;
    }
    if (random() < 0.4) {
      if (!(await step('stop', 'POST', `/containers/${name}/stop?t=0`, is('stopped')))) return true;
      if (random() < 0.5 && !(await step('remove', 'DELETE', `/containers/${name}`, is('removed')))) return true;
    } else if (random() < 0.3 && !(await step('remove', 'DELETE', `/containers/${name}?force=1`, is('removed')))) return true;
    return signal.aborted;
  }

  async function thing(kind: 'networks' | 'volumes'): Promise<boolean> {
    const name = `t${count++}`;
    things[kind].set(name, undefined);
    if (!(await call('POST', `/${kind}/create`, { Name: name }))) return true;
    things[kind].set(name, true);
    if (random() < 0.5) return false;
    things[kind].set(name, undefined);
    if (!(await call('DELETE', `/${kind}/${name}`))) return true;
    things[kind].set(name, false);
    return false;
  }

  async function build(): Promise<boolean> {
    const name = `b${count++}`;
    things.images.set(name, undefined);
    const context = buildTar([{ name: 'Dockerfile', content: `FROM busybox\nRUN echo ${name} > /made\nCMD cat /made\n` }]);
    const answer = await call('POST', `/build?t=${name}`, context);
    if (!answer) return true;
    // Cut in the middle it has said nothing of success.
    if (answer.text.includes('Successfully tagged')) things.images.set(name, true);
    return false;
  }

  async function checkContainers(when: string): Promise<void> {
    const listed = await host.must<{ Id: string; Labels: Record<string, string> }[]>('GET', '/containers/json?all=1');
    const there = new Set(listed.map(({ Id }) => Id));
    for (const known of containers) {
      const { id, name, state, unanswered, file } = known;
      const what = `${when}: ${name} was ${state}${unanswered ? `, ${unanswered} was not answered` : ''}`;
      if (state === 'removed') assert.ok(!there.has(id), `${what} and is there`);
      if (!there.has(id)) {
        assert.ok(state === 'removed' || unanswered === 'remove', `${what} and is gone`);
        known.state = 'removed';
        continue;
      }
      const { State } = await host.must<Inspect>('GET', `/containers/${id}/json`);
      const said = `${what} and is ${JSON.stringify(State)}`;
      if (unanswered === undefined || unanswered === 'cp' || unanswered === 'exec')
        assert.equal(State.Status, { created: 'created', running: 'running', stopped: 'exited', removed: '' }[state], said);
      else assert.ok(['created', 'running', 'exited', 'removing', 'dead'].includes(State.Status), said);
      if (State.Running) assert.ok(existsSync(`/proc/${State.Pid}`), said);
      // The new agent goes on with a removal that had begun.
      if (unanswered === 'remove') continue;
      if (file !== undefined) {
        const { status } = await host.api('HEAD', `/containers/${id}/archive?path=${file}`);
        assert.equal(status, 200, `${what}: the file that was put there`);
      }
      // The kernel may take its time over a process that was killed: a stop that nobody answered can come true later.
      if (unanswered !== 'stop' || !State.Running) delete known.unanswered;
      known.state = State.Running ? 'running' : State.Status === 'created' ? 'created' : 'stopped';
    }
    // What a kill left half-made and nobody was told of is one whole container, or none.
    for (const { Id, Labels } of listed) {
      if (containers.some(({ id }) => id === Id)) continue;
      assert.ok(Labels.kills !== undefined, `${when}: ${Id} is nobody's`);
      containers.push({ id: Id, name: Labels.kills, state: 'created', unanswered: 'create' });
    }
    // What a kill left of a start or of a build ends by itself or is ended by the new agent, soon.
    let running = 0;
    const isSo = async () => {
      running = (await host.must<unknown[]>('GET', '/containers/json')).length;
      return host.cluster.processes().length === running;
    };
    await until('processes of running containers alone', isSo, 10_000).catch(() =>
      assert.fail(`${when}: ${running} containers run, and ${host.cluster.processes().map(({ pid }) => describeProcess(pid))}`),
    );
  }

  async function checkThings(when: string): Promise<void> {
    const networks = await host.must<{ Name: string }[]>('GET', '/networks');
    const { Volumes } = await host.must<{ Volumes: { Name: string }[] | null }>('GET', '/volumes');
    const images = await host.must<{ RepoTags: string[] | null }[]>('GET', '/images/json');
    const present = {
      networks: new Set(networks.map(({ Name }) => Name)),
      volumes: new Set((Volumes ?? []).map(({ Name }) => Name)),
      images: new Set(images.flatMap(({ RepoTags }) => (RepoTags ?? []).map(tag => tag.replace(/:latest$/, '')))),
    };
    for (const kind of ['networks', 'volumes', 'images'] as const)
      for (const [name, isThere] of things[kind]) {
        if (isThere !== undefined) assert.equal(present[kind].has(name), isThere, `${when}: ${kind} ${name}`);
        things[kind].set(name, present[kind].has(name));
      }
  }

  async function removeAll(): Promise<void> {
    await host.removeContainers();
    for (const kind of ['networks', 'volumes', 'images'] as const) {
      for (const [name, isThere] of things[kind]) if (isThere) await host.must('DELETE', `/${kind}/${name}`);
      things[kind].clear();
    }
    containers.length = 0;
    assert.deepEqual(await host.must('GET', '/containers/json?all=1'), []);
    assert.equal(host.cluster.processes().length, 0);
    const directory = `${host.cluster.dataDir}/engine/containers`;
    await until('no container to be left on the disk', () => readdirSync(directory).length === 0, 10_000).catch(() =>
      assert.deepEqual(readdirSync(directory), []),
    );
  }
});

function describeProcess(pid: number): string {
  const read = (file: string) => readFileSync(`/proc/${pid}/${file}`, 'utf8').replaceAll('\0', ' ');
  try {
    return `${pid} ${read('cmdline')}(${read('cgroup').trim().split('\n').at(-1)})`;
  } catch {
    return `${pid}, which has ended`;
  }
}
