/** What controllers do about one write: a Deployment of 500 until its Pod objects exist, a namespace of 100 objects until it is gone. No node. */
import { openKload, runKload } from './kload/kload.ts';
import { startOurServer } from './subject/api-server.ts';
import { quantile, report } from './table.ts';

const REPLICAS = 500;
const OBJECTS = 100;
const ROUNDS = 5;

const kload = await openKload();
if (kload) {
  await using server = await startOurServer();
  const seconds = async (test: string, figure: 'last_pod_s' | 'gone_s', n: number) => {
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round++) times.push((await runKload(kload, server, test, { n, http: 1 }))[figure]);
    return quantile(times, 0.5);
  };
  report({
    what: `Deployment of ${REPLICAS}: until as many Pod objects exist, p50`,
    unit: 's',
    ours: await seconds('deployment', 'last_pod_s', REPLICAS),
    better: 'less',
    target: 0.5,
    peer: { name: 'Kubernetes with limits raised', value: 0.57, measured: false },
  });
  report({
    what: `namespace of ${OBJECTS} objects deleted: until it is gone, p50`,
    unit: 's',
    ours: await seconds('ns-delete', 'gone_s', OBJECTS),
    better: 'less',
    target: 0.5,
    peer: { name: 'Kubernetes', value: 5.3, measured: false },
  });
}
