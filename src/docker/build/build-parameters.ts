import { UmiakError } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import type { RunOptions } from '#builder/run-step.ts';
import { parseReference, toCanonicalName } from '#images/index.ts';
import { parsePlatformQuery } from '../images/image-platform.ts';
import { flagOf } from '../request.ts';

/** What `POST /build` asks for. */
export interface BuildParameters {
  /** Canonical. */
  names: string[];
  dockerfile: string;
  remote: string;
  isQuiet: boolean;
  noCache: boolean;
  pulls: boolean;
  buildArgs: Map<string, string>;
  labels: Map<string, string>;
  cacheFrom: string[];
  target: string;
  platform: string;
  buildId: string;
  /** Says of each intermediate container that it is gone. */
  tellsRemoval: boolean;
  run: Omit<RunOptions, 'network' | 'files' | 'attach'>;
  /** `host`, `container:x`, a network's name …; empty: docker's default. */
  networkMode: string;
  /** `name:address`. */
  extraHosts: string[];
}

const MAX_NAMES = 256;

/** Reads the query. @throws BadRequest, NotImplemented for what is BuildKit's or not to be had, each by its name. Pure. */
export function parseBuildParameters(query: URLSearchParams): BuildParameters {
  refuseOthers(query);
  const dockerfile = query.get('dockerfile') || 'Dockerfile';
  const platform = query.get('platform') ?? '';
  parsePlatformQuery(platform);
  return {
    names: namesOf(query.getAll('t')),
    dockerfile: dockerfile.replace(/^(?:\.?\/)+/, ''),
    remote: query.get('remote') ?? '',
    isQuiet: flagOf(query, 'q'),
    noCache: flagOf(query, 'nocache'),
    pulls: flagOf(query, 'pull'),
    buildArgs: mapOf(query, 'buildargs'),
    labels: mapOf(query, 'labels'),
    cacheFrom: listOf(query, 'cachefrom'),
    target: query.get('target') ?? '',
    platform,
    buildId: query.get('buildid') ?? '',
    tellsRemoval: flagOf(query, 'rm', true) || flagOf(query, 'forcerm'),
    run: runOf(query),
    networkMode: query.get('networkmode') ?? '',
    extraHosts: extraHostsOf(query),
  };
}

function refuseOthers(query: URLSearchParams): void {
  const version = query.get('version') ?? '';
  if (version !== '' && version !== '1')
    throw new UmiakError(
      'NotImplemented',
      `umiak does not have builder version ${version.slice(0, 16)} (BuildKit) yet: build with DOCKER_BUILDKIT=0`,
    );
  if (flagOf(query, 'squash'))
    throw new UmiakError('NotImplemented', 'umiak does not squash images: the layers of one stage are what is copied of it into the next');
  const outputs = query.get('outputs') ?? '';
  if (outputs !== '' && outputs !== '[]' && outputs !== 'null')
    throw new UmiakError(
      'NotImplemented',
      'umiak does not have --output here: it takes BuildKit; docker cp copies out of a container of the image',
    );
  const isolation = query.get('isolation') ?? '';
  if (isolation !== '' && isolation !== 'default') throw new UmiakError('BadRequest', `unsupported isolation: ${isolation.slice(0, 64)}`);
  const securityOptions = query.get('securityopt') ?? '';
  if (securityOptions !== '' && securityOptions !== '[]' && securityOptions !== 'null')
    throw new UmiakError('BadRequest', 'The daemon on this platform does not support setting security options on build');
  if (query.get('session'))
    throw new UmiakError('NotImplemented', 'umiak does not have sessions of builds yet: build with DOCKER_BUILDKIT=0');
}

function namesOf(tags: readonly string[]): string[] {
  const names = tags
    .filter(tag => tag !== '')
    .map(tag => {
      let reference: ReturnType<typeof parseReference>;
      try {
        reference = parseReference(tag);
      } catch (cause) {
        throw new UmiakError('BadRequest', `invalid reference format: ${JSON.stringify(tag.slice(0, 256))}`, { cause });
      }
      if (reference.digest !== undefined) throw new UmiakError('BadRequest', 'build tag cannot contain a digest');
      return toCanonicalName(reference);
    });
  if (names.length > MAX_NAMES) throw new UmiakError('BadRequest', `more than ${MAX_NAMES} tags`);
  return [...new Set(names)];
}

/** A JSON object of strings; what is null is not set. */
function mapOf(query: URLSearchParams, key: string): Map<string, string> {
  const value = jsonOf(query, key) ?? {};
  if (!isObject(value)) throw wrong(key, 'must be a JSON object of strings');
  return new Map(
    Object.entries(value).flatMap(([name, each]) => {
      if (each === null) return [];
      if (typeof each !== 'string') throw wrong(key, `${name.slice(0, 64)} must be a string`);
      return [[name, each] as const];
    }),
  );
}

function listOf(query: URLSearchParams, key: string): string[] {
  const value = jsonOf(query, key) ?? [];
  if (!Array.isArray(value) || !value.every(each => typeof each === 'string')) throw wrong(key, 'must be a JSON list of strings');
  return value;
}

function jsonOf(query: URLSearchParams, key: string): unknown {
  const text = query.get(key) ?? '';
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new UmiakError('BadRequest', `${key} is not JSON`, { cause });
  }
}

function runOf(query: URLSearchParams): BuildParameters['run'] {
  const shmSizeBytes = numberOf(query, 'shmsize');
  const resources = resourcesOf(query);
  const rlimits = rlimitsOf(query);
  const cgroupParent = query.get('cgroupparent') ?? '';
  return {
    ...(shmSizeBytes !== undefined && shmSizeBytes > 0 ? { shmSizeBytes } : {}),
    ...(Object.keys(resources).length > 0 ? { resources } : {}),
    ...(rlimits.length > 0 ? { rlimits } : {}),
    ...(cgroupParent !== '' ? { cgroupParent } : {}),
  };
}

function extraHostsOf(query: URLSearchParams): string[] {
  const hosts = query
    .getAll('extrahosts')
    .flatMap(text => text.split(','))
    .filter(Boolean);
  const wrongOne = hosts.find(host => !/^[^:=]+[:=].+$/.test(host));
  if (wrongOne !== undefined) throw new UmiakError('BadRequest', `bad format for add-host: ${JSON.stringify(wrongOne.slice(0, 128))}`);
  return hosts;
}

function resourcesOf(query: URLSearchParams): NonNullable<RunOptions['resources']> {
  const resources: NonNullable<RunOptions['resources']> = {};
  const [memory, swap] = [numberOf(query, 'memory'), numberOf(query, 'memswap')];
  if (memory) resources.memoryLimitBytes = memory;
  if (swap) resources.memorySwapLimitBytes = swap;
  const [shares, period, quota] = [numberOf(query, 'cpushares'), numberOf(query, 'cpuperiod'), numberOf(query, 'cpuquota')];
  if (shares) resources.cpuShares = shares;
  if (period) resources.cpuPeriodUs = period;
  if (quota) resources.cpuQuotaUs = quota;
  const [cpus, mems] = [query.get('cpusetcpus'), query.get('cpusetmems')];
  if (cpus) resources.cpusetCpus = cpus;
  if (mems) resources.cpusetMems = mems;
  return resources;
}

function rlimitsOf(query: URLSearchParams): NonNullable<RunOptions['rlimits']> {
  const value = jsonOf(query, 'ulimits') ?? [];
  if (!Array.isArray(value)) throw wrong('ulimits', 'must be a JSON list');
  return value.map((limit: unknown) => {
    if (!isObject(limit) || typeof limit.Name !== 'string' || typeof limit.Soft !== 'number' || typeof limit.Hard !== 'number')
      throw wrong('ulimits', 'each needs Name, Soft and Hard');
    return { type: `RLIMIT_${limit.Name.toUpperCase()}`, soft: limit.Soft, hard: limit.Hard };
  });
}

function numberOf(query: URLSearchParams, key: string): number | undefined {
  const text = query.get(key) ?? '';
  if (text === '') return undefined;
  if (!/^-?\d{1,15}$/.test(text)) throw wrong(key, 'must be a whole number');
  return Number(text);
}

function wrong(key: string, why: string): UmiakError {
  return new UmiakError('BadRequest', `${key} ${why}`);
}
