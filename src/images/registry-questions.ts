import { type Clock, systemClock } from '#base/clock.ts';
import { isUmiakError, UmiakError } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import { type Digest, digestOf } from './digest.ts';
import { letGo, readBody } from './http-client.ts';
import { type Descriptor, maxDocumentBytes, type Platform, parseImageConfig, parseJsonObject, parseManifestOrIndex } from './oci.ts';
import type { ProxySettings } from './proxy.ts';
import type { ImageReference } from './reference.ts';
import type { RegistryAuth } from './registry-auth.ts';
import type { RegistryEndpoints } from './registry-endpoints.ts';
import { MirroredRegistry } from './registry-mirrors.ts';
import { RegistrySession } from './registry-session.ts';

export interface RegistryQuestionsOptions {
  endpoints: RegistryEndpoints;
  clock?: Clock | undefined;
  proxy?: ProxySettings | undefined;
}

export interface Question {
  auth?: RegistryAuth | undefined;
  signal?: AbortSignal | undefined;
}

/** What a registry has under a name, nothing of it fetched but its documents. */
export interface RemoteImage {
  descriptor: Descriptor;
  platforms: Platform[];
}

/** An answer of Docker Hub's search. */
export interface FoundRepository {
  name: string;
  description: string;
  stars: number;
  isOfficial: boolean;
  isAutomated: boolean;
}

/** Docker's own registry has its search elsewhere. */
const HUB = 'docker.io';
const HUB_INDEX = 'index.docker.io';

/** What people ask registries besides pulling and pushing: what is there, whether a login is right, what there might be. */
export class RegistryQuestions {
  readonly #options: RegistryQuestionsOptions;

  constructor(options: RegistryQuestionsOptions) {
    this.#options = options;
  }

  /** A manifest's or index's descriptor and the platforms that it is for. @throws NotFound, Unauthorized, ServiceUnavailable */
  async inspect(reference: ImageReference, { auth, signal }: Question = {}): Promise<RemoteImage> {
    const { tag, digest } = reference;
    using client = await this.#client(reference, auth);
    const found = await client.manifest(digest ?? tag ?? 'latest', signal);
    const what = `manifest ${found.digest}`;
    const parsed = parseManifestOrIndex(found.bytes, what);
    const { mediaType = found.mediaType } = parseJsonObject(found.bytes, what);
    const descriptor = { mediaType: String(mediaType), digest: found.digest, size: found.bytes.length };
    if (parsed.kind === 'index') {
      const images = parsed.index.manifests.filter(({ annotations }) => annotations?.['vnd.docker.reference.type'] === undefined);
      return { descriptor, platforms: images.flatMap(({ platform }) => platform ?? []) };
    }
    const { config } = parsed.manifest;
    const { os, architecture, variant } = parseImageConfig(
      await readDocument(client, config.digest, signal),
      `configuration ${config.digest}`,
    );
    return { descriptor, platforms: [{ os, architecture, ...(variant !== undefined ? { variant } : {}) }] };
  }

  /** All tags that a repository has. @throws NotFound, Unauthorized, ServiceUnavailable, RequestEntityTooLarge */
  async tags(reference: ImageReference, { auth, signal }: Question = {}): Promise<string[]> {
    using client = await this.#client(reference, auth);
    return await client.tags(signal);
  }

  async #client({ registry, repository }: ImageReference, auth: RegistryAuth | undefined): Promise<MirroredRegistry> {
    return new MirroredRegistry({ registry, repository, endpoints: await this.#options.endpoints.of(registry), ...this.#shared(auth) });
  }

  /** Shows credentials to a registry. What its token server gives in their place, if it does. @throws Unauthorized, ServiceUnavailable */
  async login(registry: string, auth: RegistryAuth, { signal }: Pick<Question, 'signal'> = {}): Promise<{ identityToken?: string }> {
    const host = (await this.#options.endpoints.of(registry)).at(-1);
    const options = { registry, repository: '', ...(host ? { host } : {}), wantsIdentity: true, attempts: 2, ...this.#shared(auth) };
    using session = new RegistrySession(options, '');
    const what = `login to ${registry}`;
    await session.attempt(signal, async () => {
      letGo(await session.send(await session.root(undefined, signal), what, { expect: [200], ...(signal ? { signal } : {}) }));
    });
    return session.identityToken === undefined ? {} : { identityToken: session.identityToken };
  }

  /** Asks by the search API that Docker Hub and some others have; a registry without it has nothing to say. @throws ServiceUnavailable */
  async search(registry: string, term: string, limit: number, { auth, signal }: Question = {}): Promise<FoundRepository[]> {
    const host = registry === HUB ? undefined : (await this.#options.endpoints.of(registry)).at(-1);
    const options = {
      registry: registry === HUB ? HUB_INDEX : registry,
      repository: '',
      ...(host ? { host } : {}),
      attempts: 2,
      ...this.#shared(auth),
    };
    using session = new RegistrySession(options, '');
    const what = `the search for ${JSON.stringify(term.slice(0, 128))} in ${registry}`;
    const document = await session.attempt(signal, async () => {
      const query = { q: term, n: String(limit) };
      const target = await session.root('/v1/search', signal);
      const response = await session.send(target, what, { expect: [200, 404], query, ...(signal ? { signal } : {}) });
      if (response.statusCode === 404) return void letGo(response);
      return parseJsonObject(await readBody(response, maxDocumentBytes, what), what);
    });
    const results = document?.results ?? [];
    if (!Array.isArray(results)) throw new UmiakError('ServiceUnavailable', `${what}: the answer holds no list`);
    return results.slice(0, limit).flatMap(toFound);
  }

  #shared(auth: RegistryAuth | undefined) {
    const { clock = systemClock, proxy } = this.#options;
    return { clock, ...(auth ? { auth } : {}), ...(proxy ? { proxy } : {}) };
  }
}

async function readDocument(client: MirroredRegistry, digest: Digest, signal?: AbortSignal): Promise<Buffer> {
  return await client.blob(
    digest,
    async from => {
      const chunks: Uint8Array[] = [];
      let bytes = 0;
      for await (const chunk of from(0)) {
        bytes += chunk.byteLength;
        if (bytes > maxDocumentBytes)
          throw new UmiakError('RequestEntityTooLarge', `configuration ${digest} is longer than ${maxDocumentBytes} bytes`);
        chunks.push(chunk);
      }
      const whole = Buffer.concat(chunks);
      if (digestOf(whole) !== digest) throw new UmiakError('Invalid', `configuration ${digest}: its bytes do not have its digest`);
      return whole;
    },
    signal,
  );
}

function toFound(value: unknown): FoundRepository[] {
  if (!isObject(value) || typeof value.name !== 'string') return [];
  const { name, description, star_count: stars } = value;
  return [
    {
      name,
      description: typeof description === 'string' ? description : '',
      stars: typeof stars === 'number' ? stars : 0,
      isOfficial: value.is_official === true,
      isAutomated: value.is_automated === true,
    },
  ];
}

/** Whether a registry could not be asked at all. */
export function isUnreachable(error: unknown): boolean {
  return isUmiakError(error, 'ServiceUnavailable') || isUmiakError(error, 'Timeout');
}
