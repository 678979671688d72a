import { writeSync } from 'node:fs';
import { seededRandom } from '#base/ids.ts';
import { silentLog } from '#base/log.ts';
import { openEngine } from './local-engine.ts';
import { BusyboxImages, LoopbackNetworks } from './testing.ts';

/** For the crash test: works with an engine without end and says on stdout what was acknowledged, until it is killed. */
const [directory = '', instance = '', runtime = 'crun', seed = '1'] = process.argv.slice(2);
const random = seededRandom(Number(seed));
const say = (line: object) => writeSync(1, `${JSON.stringify(line)}\n`);
const engine = await openEngine({
  dataDir: `${directory}/data`,
  runDir: `${directory}/run`,
  instance,
  runtime: runtime as 'crun' | 'runc',
  images: new BusyboxImages(`${directory}/image`),
  networks: new LoopbackNetworks(`${directory}/netns`),
  log: silentLog,
});
say({ did: 'open' });

async function live(): Promise<never> {
  for (;;) {
    const pod = await engine.createSandbox({
      owner: 'node',
      metadata: { name: 'pod', namespace: 'crash', uid: 'u', attempt: 0 },
      network: 'pod',
    });
    say({ did: 'sandbox', id: pod.id });
    const long = random() < 0.6;
    const container = await engine.createContainer({
      sandboxId: pod.id,
      metadata: { name: 'main', attempt: 0 },
      image: 'busybox',
      command: ['sh', '-c', long ? 'exec sleep 1000' : 'exit 5'],
    });
    say({ did: 'created', id: container.id, long });
    await engine.startContainer(container.id);
    say({ did: 'started', id: container.id });
    if (random() < 0.3) continue;
    say({ did: 'stopping', id: container.id });
    await engine.stopContainer(container.id, { graceMs: 0 });
    say({ did: 'stopped', id: container.id });
    if (random() < 0.3) continue;
    say({ did: 'removing', id: container.id, sandbox: pod.id });
    await engine.removeSandbox(pod.id);
    say({ did: 'removed', id: container.id, sandbox: pod.id });
  }
}

await Promise.all([live(), live()]);
