import { Readable } from 'node:stream';
import { systemClock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { startMachine } from '#main/agent.ts';
import { readConfig } from '#main/config.ts';
import { TestCluster } from '../../tests/cluster.ts';

/** Our engine wired as the agent wires it: bridge, pool of networks, images, overlay, crun under conmon. No cluster. */
export interface Machine extends AsyncDisposable {
  /** Creates a pod with one container that runs `true`, waits for its end, removes the pod. */
  runOnce(network: 'pod' | 'none'): Promise<void>;
}

export async function startOurMachine(image: Buffer, reference: string): Promise<Machine> {
  await using stack = new AsyncDisposableStack();
  const cluster = stack.use(await TestCluster.open());
  const config = await readConfig({}, cluster.env);
  const { engine, images } = await startMachine({ config, clock: systemClock, log: silentLog, stack });
  await images.load(Readable.from([image]));
  const ends = new Map<string, () => void>();
  stack.use(
    engine.subscribe(event => {
      if (event.type === 'container' && event.action === 'exited') ends.get(event.container.id)?.();
    }),
  );
  const owned = stack.move();
  return {
    async runOnce(network) {
      const metadata = { name: 'bench', namespace: 'bench', uid: 'bench', attempt: 0 };
      const sandbox = await engine.createSandbox({ owner: 'node', metadata, network });
      const container = await engine.createContainer({
        sandboxId: sandbox.id,
        metadata: { name: 'main', attempt: 0 },
        image: reference,
        command: ['true'],
      });
      const ended = new Promise<void>(resolve => ends.set(container.id, resolve));
      await engine.startContainer(container.id);
      await ended;
      ends.delete(container.id);
      await engine.removeSandbox(sandbox.id);
    },
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}
