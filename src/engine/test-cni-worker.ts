import { writeSync } from 'node:fs';
import { silentLog } from '#base/log.ts';
import { CniNetworks } from '#net/cni/index.ts';
import { NetworkPool } from '#net/network-pool.ts';
import { POD_CIDR } from '#net/test-network.ts';
import { openEngine } from './open-engine.ts';
import { BusyboxImages } from './testing.ts';

/** For the crash test of CNI: makes and removes sandboxes without end and says what was acknowledged, until it is killed. */
const [directory = '', instance = '', machine = '', bridge = ''] = process.argv.slice(2);
const say = (line: string) => writeSync(1, `${line}\n`);
const cni = new CniNetworks({ confDir: `${machine}/net.d`, binDirs: [`${machine}/bin`], cacheDir: `${machine}/cache`, log: silentLog });
const engine = await openEngine({
  dataDir: `${directory}/data`,
  runDir: `${directory}/run`,
  instance,
  images: new BusyboxImages(`${directory}/image`),
  networks: new NetworkPool({ instance, runDir: `${directory}/run`, podCidr: POD_CIDR, bridge: JSON.parse(bridge), size: 0 }),
  cni,
  log: silentLog,
});
say('open');
for (;;) {
  const make = () =>
    engine.createSandbox({ owner: 'cri', metadata: { name: 'web', namespace: 'shop', uid: 'u', attempt: 0 }, network: 'cni' });
  const [stays, goes] = await Promise.all([make(), make()]);
  say(`made ${stays.id} ${goes.id}`);
  await engine.removeSandbox(goes.id);
  say(`removed ${goes.id}`);
}
