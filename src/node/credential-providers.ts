import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseGoDuration } from '#base/go-duration.ts';
import { type Clock, UmiakError } from '#base/index.ts';
import { isObject } from '#base/json-object.ts';
import { type ImageReference, parseReference, type RegistryAuth, toRepositoryName } from '#images/index.ts';
import { SingleFlight } from '#images/single-flight.ts';
import { type CredentialProvider, planCredentialProviders } from './credential-provider-config.ts';
import { isForImage, loginsFor } from './pull-credentials.ts';

export interface CredentialProvidersOptions {
  /** File with a `CredentialProviderConfig`. */
  config: string;
  /** Folder with the programs that it names. */
  binDir: string;
  clock: Clock;
  /** A provider that says nothing for so long has failed; the kubelet's minute by default. */
  timeoutMs?: number;
}

interface Answer {
  auths: Record<string, unknown>;
  untilMs: number;
}

const MOST_ANSWERS = 1024;

/** Asks the kubelet's credential provider plugins (`credentialprovider.kubelet.k8s.io`) for the logins of images. */
export class CredentialProviders {
  readonly #options: CredentialProvidersOptions;
  readonly #providers: readonly CredentialProvider[];
  /** By provider and what its answer is for. */
  readonly #answers = new Map<string, Answer>();
  readonly #flights = new SingleFlight<never>();

  private constructor(options: CredentialProvidersOptions, providers: readonly CredentialProvider[]) {
    this.#options = options;
    this.#providers = providers;
  }

  /** @throws Invalid naming file and field */
  static async open(options: CredentialProvidersOptions): Promise<CredentialProviders> {
    const { parse } = await import('#base/yaml.ts');
    return new CredentialProviders(options, planCredentialProviders(parse(await readFile(options.config, 'utf8')), options.config));
  }

  /** The logins of all providers that know the image, the one for the longest matching path first, and what failed on the way. */
  async loginsFor(image: string): Promise<{ logins: RegistryAuth[]; failures: unknown[] }> {
    const reference = parseReference(image);
    const asked = this.#providers.filter(({ matchImages }) => matchImages.some(pattern => isForImage(pattern, reference)));
    const outcomes = await Promise.allSettled(asked.map(provider => this.#authsOf(provider, reference)));
    const auths = outcomes.flatMap(outcome => (outcome.status === 'fulfilled' ? Object.entries(outcome.value) : []));
    const failures = outcomes.flatMap(outcome => (outcome.status === 'rejected' ? [outcome.reason] : []));
    return { logins: loginsFor(reference, auths), failures };
  }

  async #authsOf(provider: CredentialProvider, reference: ImageReference): Promise<Record<string, unknown>> {
    const image = toRepositoryName(reference);
    const keys = [image, reference.registry, ''].map(each => `${provider.name} ${each}`);
    const now = this.#options.clock.now();
    for (const key of keys) {
      const known = this.#answers.get(key);
      if (known !== undefined && known.untilMs > now) return known.auths;
      this.#answers.delete(key);
    }
    return await this.#flights.run(keys[0] ?? '', {}, async () => {
      const { auths, cacheMs, scope } = await this.#ask(provider, image);
      const key = { Image: keys[0], Registry: keys[1], Global: keys[2] }[scope];
      if (this.#answers.size >= MOST_ANSWERS) this.#answers.clear();
      if (key !== undefined && cacheMs > 0) this.#answers.set(key, { auths, untilMs: this.#options.clock.now() + cacheMs });
      return auths;
    });
  }

  async #ask({ name, apiVersion, args, env, defaultCacheMs }: CredentialProvider, image: string) {
    const { binDir, timeoutMs = 60_000 } = this.#options;
    const { askForCredentials } = await import('#images/credential-program.ts');
    const input = JSON.stringify({ apiVersion, kind: 'CredentialProviderRequest', image });
    const output = await askForCredentials({ file: join(binDir, name), args, env: { ...process.env, ...env }, input, timeoutMs });
    const answer = parseAnswer(output ?? '');
    const refuse = (what: string): never => {
      throw new UmiakError('Unauthorized', `the credential provider ${name} answered with ${what}`);
    };
    if (answer === undefined || answer.kind !== 'CredentialProviderResponse') return refuse('no CredentialProviderResponse');
    if (answer.apiVersion !== apiVersion) refuse(`another apiVersion than ${apiVersion}`);
    const { cacheKeyType: scope, cacheDuration, auth = {} } = answer;
    if (scope !== 'Image' && scope !== 'Registry' && scope !== 'Global')
      return refuse('a cacheKeyType that is none of Image, Registry, Global');
    const cacheMs = cacheDuration == null ? defaultCacheMs : parseGoDuration(String(cacheDuration));
    if (cacheMs === undefined) return refuse('a cacheDuration that is none');
    return { auths: isObject(auth) ? auth : {}, cacheMs, scope: scope as 'Image' | 'Registry' | 'Global' };
  }
}

/** The answer holds secrets and is not quoted. */
function parseAnswer(output: string): Record<string, unknown> | undefined {
  try {
    const answer: unknown = JSON.parse(output);
    return isObject(answer) ? answer : undefined;
  } catch {
    return undefined;
  }
}
