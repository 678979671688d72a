import { alsoWatch, type Controller, defineController, done, type Reconciling } from '#client/index.ts';
import type { Key } from '#kinds/kind.ts';
import { IPAddress, ServiceCIDR } from '#kinds/networking.ts';
import { ignoreAbsent } from './absence.ts';
import { isSameStatus, setCondition } from './status.ts';

const FINALIZER = 'networking.k8s.io/service-cidr-finalizer';
const READY = { type: 'Ready', status: 'True', reason: '', message: 'Kubernetes Service CIDR is ready' };
const TERMINATING = {
  type: 'Ready',
  status: 'False',
  reason: 'Terminating',
  message: 'There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR',
};

/** Says that ServiceCIDRs may be used, and holds those that go for as long as addresses are only theirs. */
export function serviceCidrController(): Controller<ServiceCIDR> {
  return defineController<ServiceCIDR>({
    name: 'service-cidr-controller',
    watches: ServiceCIDR,
    alsoWatches: [alsoWatch(IPAddress, going)],
    async reconcile(key, context) {
      const { client } = context;
      const range = await client.get(ServiceCIDR, key);
      if (!range) return done;
      const { metadata } = range;
      const finalizers = metadata.finalizers ?? [];
      if (!metadata.deletionTimestamp) {
        const { resourceVersion } = metadata;
        if (!finalizers.includes(FINALIZER))
          await client.patch(
            ServiceCIDR,
            key,
            { metadata: { resourceVersion, finalizers: [...finalizers, FINALIZER] } },
            { type: 'merge' },
          );
        if (!isReady(range)) await say(key, range, READY, context);
        return done;
      }
      if (!finalizers.includes(FINALIZER)) return done;
      const others = client
        .cached(ServiceCIDR)
        .list()
        .filter(other => other.metadata.uid !== metadata.uid && !other.metadata.deletionTimestamp);
      const addresses = client
        .cached(IPAddress)
        .list()
        .map(address => address.metadata.name);
      if (
        isNeeded(
          range.spec.cidrs ?? [],
          addresses,
          others.flatMap(({ spec }) => spec.cidrs ?? []),
        )
      ) {
        await say(key, range, TERMINATING, context);
        return done;
      }
      const left = finalizers.filter(name => name !== FINALIZER);
      await ignoreAbsent(client.patch(ServiceCIDR, key, { metadata: { finalizers: left.length > 0 ? left : null } }, { type: 'merge' }));
      return done;
    },
  });
}

function isReady({ status }: ServiceCIDR): boolean {
  return status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true;
}

async function say(key: Key, { status }: ServiceCIDR, condition: typeof READY, { client, clock }: Reconciling): Promise<void> {
  const conditions = setCondition(status?.conditions, condition, clock.now());
  if (isSameStatus(status, { conditions })) return;
  await ignoreAbsent(client.patch(ServiceCIDR, key, { status: { conditions } }, { type: 'merge', subresource: 'status' }));
}

/** Ranges that wait to go may be free of addresses now. */
function going(_address: IPAddress, { client }: Reconciling): Key[] {
  return client
    .cached(ServiceCIDR)
    .list()
    .filter(({ metadata }) => metadata.deletionTimestamp)
    .map(({ metadata }) => metadata);
}

/** Whether one of the addresses lies in these ranges, and in no other. Pure. */
export function isNeeded(ranges: readonly string[], addresses: readonly string[], others: readonly string[]): boolean {
  const [own, rest] = [ranges.map(spanOf), others.map(spanOf)];
  return addresses.some(address => {
    const number = toNumber(address);
    const lies = ([first, size]: [number, number]) => number >= first && number < first + size;
    return own.some(lies) && !rest.some(lies);
  });
}

function spanOf(cidr: string): [first: number, size: number] {
  const [address = '', bits = '32'] = cidr.split('/');
  if (address.includes(':')) return [0, 0];
  const size = 2 ** (32 - Number(bits));
  return [toNumber(address) - (toNumber(address) % size), size];
}

function toNumber(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}
