import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { UmiakError } from '#base/errors.ts';
import { toWeight } from '#linux/cgroup-limits.ts';
import type { Resources } from './engine.ts';

const MANAGER = ['org.freedesktop.systemd1', '/org/freedesktop/systemd1', 'org.freedesktop.systemd1.Manager'];
const TIMEOUT_MS = 30_000;
const ENDLESS = '18446744073709551615';

/** Makes a slice, if it is not there, and limits it for as long as the machine is up. @throws InternalError in systemd's words */
export async function limitSlice(slice: string, resources: Resources): Promise<void> {
  const properties = planSliceProperties(resources);
  const said = properties.flat();
  try {
    await busctl('SetUnitProperties', 'sba(sv)', slice, 'true', String(properties.length), ...said);
  } catch {
    const made = ['DefaultDependencies', 'b', 'false', ...said];
    await busctl('StartTransientUnit', 'ssa(sv)a(sa(sv))', slice, 'replace', String(properties.length + 1), ...made, '0');
  }
}

/** Tells systemd what a scope that runs is limited to now. */
export async function limitScope(scope: string, resources: Resources): Promise<void> {
  const properties = planProperties(resources);
  if (properties.length > 0) await busctl('SetUnitProperties', 'sba(sv)', scope, 'true', String(properties.length), ...properties.flat());
}

/** Lets systemd forget a slice in which nothing is left. */
export async function stopSlice(slice: string): Promise<void> {
  await busctl('StopUnit', 'ss', slice, 'replace').catch(() => {}); // it was never made, or is gone
}

type Property = [name: string, type: string, value: string];

/** Limits as systemd calls them. @throws Invalid for what it has no name for. Pure. */
export function planSliceProperties({ unified = {}, hugepageLimits = [], ...resources }: Resources): Property[] {
  const [nameless] = [...Object.keys(unified), ...hugepageLimits.map(({ pageSize }) => `hugetlb.${pageSize}`)];
  if (nameless !== undefined)
    throw new UmiakError('Invalid', `systemd has no property for a slice's ${nameless}`, { hint: 'Use the cgroup driver cgroupfs.' });
  return planProperties(resources);
}

/** The limits that systemd has a name for. Pure. */
export function planProperties(resources: Resources): Property[] {
  const {
    memoryLimitBytes: memory,
    memorySwapLimitBytes: swap,
    memoryReservationBytes,
    cpuQuotaUs: quota,
    cpuPeriodUs: period = 100_000,
  } = resources;
  const bytes = (value: number) => (value < 0 ? ENDLESS : String(value));
  const properties: (Property | undefined)[] = [
    memory === undefined ? undefined : ['MemoryMax', 't', bytes(memory)],
    swap === undefined ? undefined : ['MemorySwapMax', 't', bytes(swap < 0 ? swap : Math.max(0, swap - (memory ?? 0)))],
    memoryReservationBytes === undefined ? undefined : ['MemoryLow', 't', bytes(memoryReservationBytes)],
    quota === undefined ? undefined : ['CPUQuotaPerSecUSec', 't', quota < 0 ? ENDLESS : String(Math.round((quota / period) * 1e6))],
    resources.cpuShares === undefined ? undefined : ['CPUWeight', 't', String(toWeight(resources.cpuShares))],
    resources.pidsLimit === undefined ? undefined : ['TasksMax', 't', bytes(resources.pidsLimit)],
  ];
  return properties.filter(property => property !== undefined);
}

async function busctl(method: string, signature: string, ...args: string[]): Promise<void> {
  try {
    await promisify(execFile)('busctl', ['--quiet', 'call', ...MANAGER, method, signature, ...args], {
      timeout: TIMEOUT_MS,
      killSignal: 'SIGKILL',
    });
  } catch (error) {
    const { stderr = '' } = error as { stderr?: string };
    throw new UmiakError('InternalError', `systemd: ${method} ${args[0]}: ${stderr.trim() || 'no answer'}`, { cause: error });
  }
}
