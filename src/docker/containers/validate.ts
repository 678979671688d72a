import { UmiakError } from '#base/errors.ts';
import { ALL_CAPABILITIES } from '#engine/capabilities.ts';
import { parseSignal } from '#linux/process.ts';
import { REFUSED } from './config-table.ts';
import type { Config, HostConfig, RestartPolicy } from './forms.ts';
import type { MachineSupport } from './machine-support.ts';

const LEAST_MEMORY = 6 << 20;

/** What limits are measured against. */
export interface ValidationFacts extends Pick<MachineSupport, 'cpuSet' | 'memorySet'> {
  cpus: number;
}

/** The whole of what a client asks for, in docker's words. Pure. @throws BadRequest, NotImplemented */
export function validateContainer(asked: Partial<Config>, config: Config, host: HostConfig, facts: ValidationFacts): void {
  validateConfig(config);
  validateHost(host);
  validateResources(host, facts);
  validateRestartPolicy(host.RestartPolicy);
  if (host.AutoRemove && !['', 'no'].includes(host.RestartPolicy.Name))
    throw bad("can't create 'AutoRemove' container with restart policy");
  validateModes(asked, host);
}

function validateConfig({ WorkingDir, Env, StopSignal, StopTimeout, Healthcheck: check, ExposedPorts = {} }: Config): void {
  for (const port of Object.keys(ExposedPorts)) validatePort(port);
  if (WorkingDir !== '' && !WorkingDir.startsWith('/'))
    throw bad(`the working directory '${WorkingDir}' is invalid, it needs to be an absolute path`);
  for (const pair of Env) {
    if (pair === '' || pair.startsWith('=')) throw bad(`invalid environment variable: ${pair}`);
    if (pair.includes('\0')) throw bad('invalid environment variable: it has a NUL');
  }
  if (StopSignal !== undefined) validateSignal(StopSignal);
  if (StopTimeout !== undefined && StopTimeout < -1) throw bad(`invalid stop timeout: ${StopTimeout}`);
  if (!check) return;
  const least = { Interval: 'Interval', Timeout: 'Timeout', StartPeriod: 'StartPeriod', StartInterval: 'StartInterval' } as const;
  for (const field of Object.values(least)) {
    const value = check[field] ?? 0;
    if (value !== 0 && value < 1_000_000) throw bad(`${field} in Healthcheck cannot be less than 1ms`);
  }
  if ((check.Retries ?? 0) < 0) throw bad('Retries in Healthcheck cannot be negative');
}

/** `80`, `80/udp`, `8000-8010/tcp`. */
function validatePort(port: string): void {
  const [, first = '', last = first] = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(?:tcp|udp|sctp))?$/i.exec(port) ?? [];
  if (first === '' || Number(first) > 65_535 || Number(last) > 65_535 || Number(last) < Number(first))
    throw bad(`invalid port specification: ${JSON.stringify(port.slice(0, 64))}`);
}

/** @throws BadRequest in docker's words */
export function validateSignal(signal: string): number {
  try {
    return parseSignal(signal);
  } catch (cause) {
    throw new UmiakError('BadRequest', `invalid signal: ${signal.slice(0, 64)}`, { cause });
  }
}

function validateHost(host: HostConfig): void {
  for (const [field, why] of Object.entries(REFUSED)) {
    const value: unknown = host[field as keyof HostConfig];
    if (value) throw new UmiakError('BadRequest', `HostConfig.${field} can't be honoured: ${why}`);
  }
  if (host.Isolation !== '' && host.Isolation.toLowerCase() !== 'default')
    throw bad(`invalid isolation '${host.Isolation}': only 'default' is there on linux`);
  for (const field of ['CapAdd', 'CapDrop'] as const)
    for (const name of host[field] ?? [])
      if (!CAPABILITIES.has(name)) throw bad(`invalid ${field}: unknown capability: ${JSON.stringify(name)}`);
  if (host.ShmSize < 0) throw bad('SHM size can not be less than 0');
  if (host.OomScoreAdj < -1000 || host.OomScoreAdj > 1000)
    throw bad(`Invalid value ${host.OomScoreAdj}, range for oom score adj is [-1000, 1000]`);
  for (const port of Object.keys(host.PortBindings)) validatePort(port);
  for (const each of host.ExtraHosts ?? []) validateExtraHost(each);
  for (const option of Object.keys(host.StorageOpt ?? {}))
    if (option !== 'size') throw bad(`unknown option: ${JSON.stringify(option)} of StorageOpt: there is 'size' alone`);
  for (const { PathOnHost } of host.Devices ?? []) if (!PathOnHost.startsWith('/')) throw bad(`invalid device path: ${PathOnHost}`);
  for (const rule of host.DeviceCgroupRules ?? [])
    if (!/^[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}$/.test(rule)) throw bad(`invalid device cgroup rule format: '${rule}'`);
  for (const annotation of Object.keys(host.Annotations ?? {}))
    if (annotation === '') throw bad('invalid Annotations: the empty string is not permitted as an annotation key');
  for (const { Name, Soft, Hard } of host.Ulimits ?? []) {
    if (!ULIMITS.has(Name)) throw bad(`invalid ulimit type: ${Name}`);
    if (Hard >= 0 && Soft > Hard) throw bad(`ulimit soft limit must be less than or equal to hard limit: ${Soft} > ${Hard}`);
  }
}

const ULIMITS = new Set('core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack as'.split(' '));

const CAPABILITIES: ReadonlySet<string> = new Set(['ALL', ...ALL_CAPABILITIES]);

function validateExtraHost(entry: string): void {
  const [, host = '', address = ''] = /^([^:=]*)[:=](.*)$/s.exec(entry) ?? [];
  if (host === '') throw bad(`bad format for add-host: "${entry}"`);
  if (address === 'host-gateway') return;
  const bare = address.replace(/^\[(.*)\]$/, '$1');
  if (!/^[0-9a-fA-F:.]+$/.test(bare) || !/[.:]/.test(bare)) throw bad(`invalid IP address in add-host: "${address}"`);
}

/** @throws BadRequest */
export function validateRestartPolicy({ Name, MaximumRetryCount }: RestartPolicy): void {
  if (!['', 'no', 'always', 'on-failure', 'unless-stopped'].includes(Name))
    throw bad(`invalid restart policy: unknown policy '${Name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`);
  if (Name !== 'on-failure' && MaximumRetryCount !== 0)
    throw bad(
      `invalid restart policy: maximum retry count can only be used with 'on-failure'${MaximumRetryCount < 0 ? ' and cannot be negative' : ''}`,
    );
  if (MaximumRetryCount < 0) throw bad('invalid restart policy: maximum retry count cannot be negative');
}

/** @throws BadRequest in docker's words */
export function validateResources(host: HostConfig, { cpus, cpuSet, memorySet }: ValidationFacts): void {
  const { Memory, MemorySwap, MemoryReservation, MemorySwappiness, NanoCpus, CpuPeriod, CpuQuota, CpuShares, BlkioWeight } = host;
  if (Memory !== 0 && Memory < LEAST_MEMORY) throw bad('Minimum memory limit allowed is 6MB');
  if (Memory > 0 && MemorySwap > 0 && MemorySwap < Memory)
    throw bad('Minimum memoryswap limit should be larger than memory limit, see usage');
  if (Memory === 0 && MemorySwap > 0) throw bad('You should always set the Memory limit when using Memoryswap limit, see usage');
  if (MemorySwap < -1) throw bad(`invalid memory swap limit ${MemorySwap}`);
  if (MemorySwappiness !== null && (MemorySwappiness < 0 || MemorySwappiness > 100))
    throw bad(`Invalid value: ${MemorySwappiness}, valid memory swappiness range is 0-100`);
  if (MemoryReservation !== 0 && MemoryReservation < LEAST_MEMORY) throw bad('Minimum memory reservation allowed is 6MB');
  if (Memory > 0 && MemoryReservation > Memory) throw bad('Minimum memory limit can not be less than memory reservation limit, see usage');
  if (NanoCpus !== 0) {
    if (CpuPeriod !== 0) throw bad('Conflicting options: Nano CPUs and CPU Period cannot both be set');
    if (CpuQuota !== 0) throw bad('Conflicting options: Nano CPUs and CPU Quota cannot both be set');
    if (NanoCpus < 0 || NanoCpus > cpus * 1e9)
      throw bad(`range of CPUs is from 0.01 to ${cpus}.00, as there are only ${cpus} CPUs available`);
    if (NanoCpus < 1e7) throw bad(`range of CPUs is from 0.01 to ${cpus}.00, as there are only ${cpus} CPUs available`);
  }
  if (CpuShares < 0) throw bad(`invalid CPU shares (${CpuShares}): value must be a positive integer`);
  if (CpuPeriod !== 0 && (CpuPeriod < 1000 || CpuPeriod > 1_000_000))
    throw bad('CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)');
  if (CpuQuota > 0 && CpuQuota < 1000) throw bad('CPU cfs quota can not be less than 1ms (i.e. 1000)');
  if (BlkioWeight !== 0 && (BlkioWeight < 10 || BlkioWeight > 1000)) throw bad('Range of blkio weight is from 10 to 1000');
  for (const { Weight } of host.BlkioWeightDevice ?? [])
    if (Weight !== 0 && (Weight < 10 || Weight > 1000)) throw bad('Range of blkio weight is from 10 to 1000');
  for (const [text, what, there, name] of [
    [host.CpusetCpus, 'cpus', cpuSet, 'CPUs'],
    [host.CpusetMems, 'mems', memorySet, 'memory nodes'],
  ] as const) {
    if (text === '') continue;
    if (!/^\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*$/.test(text)) throw bad(`Invalid value ${text} for cpuset ${what}`);
    const available = new Set(numbersOf(there));
    if (numbersOf(text).some(number => !available.has(number)))
      throw bad(`Requested ${name} are not available - requested ${text}, available: ${there}`);
  }
}

/** `0-2,7` as numbers. */
function numbersOf(set: string): number[] {
  return set.split(',').flatMap(part => {
    const [first = 0, last = first] = part.split('-').map(Number);
    return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index);
  });
}

/** Which namespaces are shared, and what does not go with that. */
function validateModes(config: Partial<Config>, host: HostConfig): void {
  const { IpcMode, PidMode, UTSMode, UsernsMode, CgroupnsMode, NetworkMode } = host;
  if (!['', 'none', 'private', 'shareable', 'host'].includes(IpcMode) && !isContainer(IpcMode)) throw bad(`invalid IPC mode: ${IpcMode}`);
  if (!['', 'private', 'host'].includes(PidMode) && !isContainer(PidMode)) throw bad(`invalid PID mode: ${PidMode}`);
  if (!['', 'host'].includes(UTSMode)) throw bad(`invalid UTS mode: ${UTSMode}`);
  if (!['', 'host'].includes(UsernsMode)) throw bad(`invalid user namespace mode: ${UsernsMode}`);
  if (!['', 'private', 'host'].includes(CgroupnsMode)) throw bad(`invalid cgroup namespace mode: ${CgroupnsMode}`);
  if (UTSMode === 'host' && config.Hostname) throw bad('conflicting options: hostname and the UTS mode');
  const conflict = (what: string) => bad(`conflicting options: ${what}`);
  if (NetworkMode === 'host' && (host.Links?.length ?? 0) > 0)
    throw conflict("host type networking can't be used with links. This would result in undefined behavior");
  if (!isContainer(NetworkMode)) return;
  if (config.Hostname) throw conflict('hostname and the network mode');
  if ((host.Links?.length ?? 0) > 0)
    throw conflict("container type network can't be used with links. This would result in undefined behavior");
  if (host.Dns.length > 0) throw conflict('dns and the network mode');
  if ((host.ExtraHosts?.length ?? 0) > 0) throw conflict('custom host-to-IP mapping and the network mode');
  if (config.MacAddress) throw conflict('mac-address and the network mode');
  if (Object.keys(host.PortBindings).length > 0 || host.PublishAllPorts)
    throw conflict('port publishing and the container type network mode');
  if (Object.keys(config.ExposedPorts ?? {}).length > 0) throw conflict('port exposing and the container type network mode');
}

/** `container:x`. */
export function isContainer(mode: string): boolean {
  return mode.startsWith('container:');
}

/** The `x` of `container:x`. */
export function containerOf(mode: string): string | undefined {
  return isContainer(mode) ? mode.slice('container:'.length) : undefined;
}

function bad(message: string): UmiakError {
  return new UmiakError('BadRequest', message);
}
