import type { IncomingMessage } from 'node:http';
import { isUmiakError, UmiakError } from '#base/errors.ts';
import { type Digest, digestOf } from './digest.ts';
import { letGo } from './http-client.ts';
import { mayPass, planPause } from './registry-errors.ts';
import { type RegistryClientOptions, RegistrySession } from './registry-session.ts';

/** A blob to be sent: `read` gives its bytes from `start` on, as often as it is asked. */
export interface BlobSource {
  digest: Digest;
  size: number;
  read: (start: number) => AsyncIterable<Uint8Array>;
}

export interface SendOptions {
  /** Another repository of the same registry that may have the blob. */
  mountFrom?: string;
  signal?: AbortSignal;
  onBytes?: (sent: number) => void;
}

/** Blobs up to this size go in one request; larger ones in a form that can be gone on with when it breaks off. */
const WHOLE_BYTES = 1 << 20;
const MAX_BREAKS = 5;

/** Writes to one repository of one registry (OCI distribution spec 1.1, "Push"). */
export class RegistryPush implements Disposable {
  readonly #session: RegistrySession;

  /** `mountFrom`: repositories from which blobs may be mounted; they must be readable by the same credentials. */
  constructor(options: RegistryClientOptions, mountFrom: readonly string[] = []) {
    const scopes = [`repository:${options.repository}:pull,push`, ...mountFrom.map(each => `repository:${each}:pull`)];
    this.#session = new RegistrySession(options, scopes.join(' '));
  }

  /** Brings a blob there, the shortest way: it is there, it is mounted from another repository, it is sent. */
  async blob(source: BlobSource, options: SendOptions = {}): Promise<'exists' | 'mounted' | 'uploaded'> {
    const { digest } = source;
    const { signal, mountFrom } = options;
    const what = `the blob ${this.#session.name(`@${digest}`)}`;
    for (let breaks = 0; ; ) {
      // After a failure too: the answer to an upload may be all that was lost.
      if (await this.#session.attempt(signal, () => this.#has(digest, what, signal))) return breaks > 0 ? 'uploaded' : 'exists';
      let sent = 0;
      const onBytes = (bytes: number) => {
        sent = bytes;
        options.onBytes?.(bytes);
      };
      try {
        return await this.#send(source, what, { ...options, onBytes, ...(breaks > 0 || !mountFrom ? {} : { mountFrom }) });
      } catch (error) {
        signal?.throwIfAborted();
        breaks = sent > WHOLE_BYTES ? 1 : breaks + 1;
        // An upload that the registry has forgotten is begun anew.
        if (!(mayPass(error) || isUmiakError(error, 'NotFound')) || breaks >= MAX_BREAKS) throw this.#session.toFinal(error);
        await this.#session.pause(planPause(error, breaks), signal);
      }
    }
  }

  /** Puts a manifest or index under a tag or its digest; what it names must be there. */
  async manifest(reference: string, bytes: Uint8Array, mediaType: string, signal?: AbortSignal): Promise<void> {
    const what = `the manifest ${this.#session.name(reference.startsWith('sha256:') ? `@${reference}` : `:${reference}`)}`;
    const response = await this.#session.attempt(signal, () =>
      this.#session.send(`manifests/${reference}`, what, {
        method: 'PUT',
        body: bytes,
        headers: { 'content-type': mediaType, 'content-length': String(bytes.byteLength) },
        expect: [200, 201, 202],
        ...(signal ? { signal } : {}),
      }),
    );
    letGo(response);
    const [digest, announced] = [digestOf(bytes), response.headers['docker-content-digest']];
    if (announced !== undefined && announced !== digest)
      throw new UmiakError('Invalid', `${what}: the registry stored ${announced}, sent was ${digest}`, {
        hint: 'It was altered on its way or in the registry; push again.',
      });
  }

  [Symbol.dispose](): void {
    this.#session[Symbol.dispose]();
  }

  async #has(digest: Digest, what: string, signal?: AbortSignal): Promise<boolean> {
    const method = 'HEAD';
    const response = await this.#session.send(`blobs/${digest}`, what, { method, expect: [200, 404], ...(signal ? { signal } : {}) });
    letGo(response);
    return response.statusCode === 200;
  }

  async #send(source: BlobSource, what: string, options: SendOptions): Promise<'mounted' | 'uploaded'> {
    const { signal, mountFrom } = options;
    const begun = await this.#ask('blobs/uploads/', what, {
      method: 'POST',
      expect: [201, 202],
      headers: { 'content-length': '0' },
      query: mountFrom === undefined ? {} : { mount: source.digest, from: mountFrom },
      ...(signal ? { signal } : {}),
    });
    if (begun.response.statusCode === 201) return 'mounted';
    let at = begun.next;
    if (source.size > WHOLE_BYTES) at = await this.#stream(source, at, what, options);
    const whole = source.size <= WHOLE_BYTES;
    const { response } = await this.#ask(at, what, {
      method: 'PUT',
      expect: [201, 204],
      query: { digest: source.digest },
      headers: whole ? { 'content-type': 'application/octet-stream', 'content-length': String(source.size) } : { 'content-length': '0' },
      ...(whole && source.size > 0 ? { body: () => counted(source.read(0), 0, options.onBytes) } : {}),
      ...(signal ? { signal } : {}),
    });
    letGo(response);
    return 'uploaded';
  }

  /** Sends all in one piece; when it breaks off, the registry is asked how much it has, and the rest follows. */
  async #stream(source: BlobSource, upload: URL, what: string, { signal, onBytes }: SendOptions): Promise<URL> {
    let at = upload;
    const { size } = source;
    for (let start = 0, breaks = 0; ; ) {
      try {
        const { next } = await this.#ask(at, what, {
          method: 'PATCH',
          expect: [201, 202, 204],
          headers: {
            'content-type': 'application/octet-stream',
            'content-length': String(size - start),
            ...(start > 0 ? { 'content-range': `${start}-${size - 1}` } : {}),
          },
          body: () => counted(source.read(start), start, onBytes),
          ...(signal ? { signal } : {}),
        });
        return next;
      } catch (error) {
        signal?.throwIfAborted();
        if (!mayPass(error) || ++breaks >= MAX_BREAKS) throw error;
        await this.#session.pause(planPause(error, breaks), signal);
      }
      const { response, next } = await this.#session.attempt(signal, () =>
        this.#ask(at, what, { method: 'GET', expect: [202, 204], ...(signal ? { signal } : {}) }),
      );
      const had = Number(/^(?:bytes=)?0-(\d+)$/.exec(response.headers.range ?? '')?.[1] ?? -1) + 1;
      if (had > start) breaks = 0;
      // `0-0` is said of an upload with one byte and of an empty one; the empty one is meant.
      start = had <= 1 ? 0 : had;
      at = next;
      if (start >= size) return at;
    }
  }

  /** A request about an upload; the answer may say another address for the next one. */
  async #ask(target: string | URL, what: string, request: Parameters<RegistrySession['send']>[2]) {
    const response: IncomingMessage = await this.#session.send(target, what, request);
    letGo(response);
    // What is done needs no address to go on at.
    const { location = response.statusCode === 201 ? '.' : undefined } = response.headers;
    return { response, next: await this.#session.resolve(location, target, what) };
  }
}

async function* counted(
  source: AsyncIterable<Uint8Array>,
  start: number,
  onBytes?: (sent: number) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  let sent = start;
  for await (const chunk of source) {
    const { byteLength } = chunk;
    yield chunk;
    sent += byteLength;
    onBytes?.(sent);
  }
}
