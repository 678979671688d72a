import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { messageOf, UmiakError } from '#base/errors.ts';
import { absent } from './content-store.ts';
import type { ClientCertificate } from './http-client.ts';
import { type HostPlan, planHosts } from './registry-hosts.ts';
import type { RegistryEndpoint } from './registry-mirrors.ts';
import type { RegistryHost } from './registry-session.ts';

const MAX_FILE_BYTES = 256 * 1024;

/**
 * The folder of registries' `hosts.toml`, as containerd knows it: `<host>_<port>_`, `<host>:<port>`, `<host>`, `_default`. A file is read when
 * its registry is asked, and again when it has changed.
 */
export class RegistryConfig {
  readonly #directory: string;
  readonly #read = new Map<string, { version: string; plans: HostPlan[] }>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /**
   * Where to ask for the registry's content, in order; undefined when no file speaks of it. `named` is what is known of it otherwise.
   * @throws Invalid naming the file and the key, when a file can't be understood
   */
  async endpoints(registry: string, named: RegistryHost = {}): Promise<RegistryEndpoint[] | undefined> {
    for (const folder of foldersOf(registry)) {
      const file = join(this.#directory, folder, 'hosts.toml');
      const plans = await this.#plansOf(file);
      if (plans !== undefined)
        return await Promise.all(plans.map((plan, i) => toEndpoint(plan, { registry, named, file, isMirror: i < plans.length - 1 })));
    }
    return undefined;
  }

  async #plansOf(file: string): Promise<HostPlan[] | undefined> {
    const found = await stat(file).catch(absent);
    if (found === undefined) return void this.#read.delete(file);
    const version = `${found.mtimeMs} ${found.ctimeMs} ${found.size} ${found.ino}`;
    const known = this.#read.get(file);
    if (known?.version === version) return known.plans;
    const plans = planHosts(await readBounded(file, 'hosts.toml'), file);
    this.#read.set(file, { version, plans });
    return plans;
  }
}

/** The folders that may speak of a registry, the first that has a file wins. */
export function foldersOf(registry: string): string[] {
  const port = /^(.+):(\d+)$/.exec(registry);
  return [...(port ? [`${port[1]}_${port[2]}_`] : []), ...(/^\.*$/.test(registry) || registry.includes('/') ? [] : [registry]), '_default'];
}

interface Origin {
  registry: string;
  named: RegistryHost;
  file: string;
  isMirror: boolean;
}

async function toEndpoint(plan: HostPlan, { registry, named, file, isMirror }: Origin): Promise<RegistryEndpoint> {
  const { endpoint = plan.skipVerify && !named.insecure ? secureOf(registry) : undefined, apiPath, headers, connectTimeoutMs } = plan;
  const key = (name: string) => (isMirror ? `host.${JSON.stringify(plan.endpoint)}.${name}` : name);
  const [ca, client] = await Promise.all([readAuthorities(plan, file, key('ca')), readClient(plan, file, key('client'))]);
  const isElsewhere = plan.endpoint !== undefined && plan.endpoint !== secureOf(registry);
  return {
    ...(isMirror ? {} : named),
    name: `${plan.endpoint ?? registry}${apiPath?.replace(/\/v2$/, '') ?? ''}`,
    isMirror,
    capabilities: plan.capabilities,
    ...(endpoint !== undefined ? { endpoint } : {}),
    ...(apiPath !== undefined ? { apiPath } : {}),
    ...(plan.skipVerify !== undefined ? { insecure: plan.skipVerify } : {}),
    ...(ca !== undefined ? { ca } : {}),
    ...(client.length > 0 ? { client } : {}),
    ...(headers !== undefined ? { headers } : {}),
    ...(connectTimeoutMs !== undefined ? { connectTimeoutMs } : {}),
    ...(isElsewhere ? { namespace: registry } : {}),
  };
}

function secureOf(registry: string): string {
  return `https://${registry === 'docker.io' ? 'registry-1.docker.io' : registry}`;
}

async function readAuthorities({ caFiles }: HostPlan, file: string, key: string): Promise<string | undefined> {
  const texts = await Promise.all(caFiles.map(each => readPem(each, file, key, text => new X509Certificate(text))));
  return texts.length > 0 ? texts.join('\n') : undefined;
}

async function readClient({ clientFiles }: HostPlan, file: string, key: string): Promise<ClientCertificate[]> {
  return await Promise.all(
    clientFiles.map(async ([certificate, its]) => ({
      certificate: await readPem(certificate, file, key, text => new X509Certificate(text)),
      key: await readPem(its, file, key, text => createPrivateKey(text)),
    })),
  );
}

/** A file that `key` of hosts.toml names, from its folder on. */
async function readPem(name: string, file: string, key: string, check: (text: string) => unknown): Promise<string> {
  const path = resolve(file, '..', name);
  try {
    const text = await readBounded(path, 'a PEM file');
    check(text);
    return text;
  } catch (error) {
    throw new UmiakError('Invalid', `${file}: ${key}: ${path} can't be used: ${messageOf(error)}`, {
      hint: 'Name a PEM file that this program may read, by its whole path or from the folder of hosts.toml on.',
      cause: error,
    });
  }
}

async function readBounded(path: string, what: string): Promise<string> {
  const { size } = await stat(path);
  if (size > MAX_FILE_BYTES) throw new UmiakError('Invalid', `${path}: ${what} has at most ${MAX_FILE_BYTES} bytes, not ${size}`);
  return await readFile(path, 'utf8');
}
