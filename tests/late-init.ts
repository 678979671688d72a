import { readdirSync, readFileSync } from 'node:fs';
import { until } from './cluster.ts';
import { DockerHost } from './docker-host.ts';

/** Run by `late-init.root.test.ts` in a PID namespace whose init reaps nobody: containers start, get execs and are stopped. */

const ROUNDS = 25;

await using host = await DockerHost.start();
for (let round = 0; round < ROUNDS; round++) {
  const { Id } = await host.must<{ Id: string }>('POST', '/containers/create', {
    Image: 'busybox',
    Cmd: ['sleep', '1000'],
    HostConfig: { NetworkMode: 'none' },
  });
  await host.must('POST', `/containers/${Id}/start`);
  const exec = await host.must<{ Id: string }>('POST', `/containers/${Id}/exec`, { Cmd: ['true'] });
  // Sooner or later in its way: the runtime's half of the work is inside then.
  const started = host.must('POST', `/exec/${exec.Id}/start`, { Detach: true });
  if (round % 2 === 0) await started;
  await Promise.all([host.must('POST', `/containers/${Id}/stop?t=0`), started.catch(() => {})]);
  await until('its end', async () => {
    const { State } = await host.must<{ State: { Running: boolean } }>('GET', `/containers/${Id}/json`);
    return !State.Running;
  });
  await host.must('DELETE', `/containers/${Id}?force=1`);
}
await until('no zombie is left', () => zombies().length === 0, 20_000).catch(error => {
  throw new Error(`left: ${zombies().join(', ')}`, { cause: error });
});

function zombies(): string[] {
  return readdirSync('/proc').flatMap(pid => {
    try {
      const stat = /^\d+$/.test(pid) ? readFileSync(`/proc/${pid}/stat`, 'latin1') : '';
      return /\) Z /.test(stat) ? [stat.slice(0, 60)] : [];
    } catch {
      return []; // it has ended
    }
  });
}
