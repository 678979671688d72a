import { writeSync } from 'node:fs';
import { messageOf } from '#base/errors.ts';
import { seededRandom } from '#base/ids.ts';
import { silentLog } from '#base/log.ts';
import type { Container } from './engine.ts';
import { openEngine } from './open-engine.ts';
import { BusyboxImages, LoopbackNetworks } from './testing.ts';

/** What the worker of the crash test says on stdout, a line of JSON each. */
export interface Said {
  did: 'open' | 'sandbox' | 'created' | 'started' | 'failed' | 'execed' | 'exited' | 'stopping' | 'stopped' | 'removing' | 'removed';
  id: string;
  sandbox?: string;
  long?: boolean;
  reason?: string;
  message?: string;
}

/** For the crash test: works with an engine without end and says on stdout what was acknowledged, until it is killed. */
async function work(directory: string, instance: string, runtime: 'crun' | 'runc', seed: number): Promise<void> {
  const random = seededRandom(seed);
  const say = (line: Partial<Said>) => writeSync(1, `${JSON.stringify(line)}\n`);
  const engine = await openEngine({
    dataDir: `${directory}/data`,
    runDir: `${directory}/run`,
    instance,
    runtime,
    images: new BusyboxImages(`${directory}/image`),
    networks: new LoopbackNetworks(`${directory}/netns`),
    log: silentLog,
  });
  engine.subscribe(event => {
    if (event.type === 'container' && event.action === 'exited')
      say({ did: 'exited', id: event.container.id, reason: event.container.reason ?? '' });
  });
  say({ did: 'open' });

  /** Its state after a start, or why it did not start: somebody may kill its monitor or runtime. */
  const start = async ({ id }: Container): Promise<boolean> => {
    try {
      await engine.startContainer(id);
      say({ did: 'started', id });
      return true;
    } catch (error) {
      say({ did: 'failed', id, message: messageOf(error) });
      return false;
    }
  };
  const live = async (): Promise<never> => {
    for (;;) {
      const pod = await engine.createSandbox({
        owner: 'node',
        metadata: { name: 'pod', namespace: 'crash', uid: 'u', attempt: 0 },
        network: 'pod',
        ...(random() < 0.3 ? { ownUsers: true } : {}),
      });
      say({ did: 'sandbox', id: pod.id });
      const long = random() < 0.6;
      const container = await engine.createContainer({
        sandboxId: pod.id,
        metadata: { name: 'main', attempt: 0 },
        image: 'busybox',
        mounts: [{ source: `${directory}/image/etc/passwd`, destination: '/volume', readOnly: true }],
        command: ['sh', '-c', long ? 'exec sleep 1000' : 'exit 5'],
      });
      say({ did: 'created', id: container.id, sandbox: pod.id, long });
      const isStarted = await start(container);
      if (isStarted && long && random() < 0.3) {
        const { exitCode } = await engine.execSync(container.id, { command: ['true'], timeoutMs: 5_000 }).catch(() => ({ exitCode: -1 }));
        say({ did: 'execed', id: container.id, message: String(exitCode) });
      }
      if (random() < 0.3) continue;
      say({ did: 'stopping', id: container.id });
      await engine.stopContainer(container.id, { graceMs: 0 });
      if (isStarted) say({ did: 'stopped', id: container.id });
      if (random() < 0.3) continue;
      say({ did: 'removing', id: container.id, sandbox: pod.id });
      await engine.removeSandbox(pod.id);
      say({ did: 'removed', id: container.id, sandbox: pod.id });
    }
  };
  await Promise.all([live(), live()]);
}

if (import.meta.main) {
  const [directory = '', instance = '', runtime = 'crun', seed = '1'] = process.argv.slice(2);
  await work(directory, instance, runtime as 'crun' | 'runc', Number(seed));
}
