import type { IncomingMessage } from 'node:http';
import { isUmiakError, UmiakError } from '#base/errors.ts';
import { type Digest, digestOf, isDigest } from './digest.ts';
import { readBody } from './http-client.ts';
import { maxDocumentBytes, mediaTypes, parseJsonObject } from './oci.ts';
import { mayPass } from './registry-errors.ts';
import { type RegistryClientOptions, RegistrySession } from './registry-session.ts';

/** So often in a row a download may break off that brought less than `PROGRESS_BYTES` each time. */
const MAX_BREAKS = 5;
const TAGS_A_PAGE = 1000;
const MOST_TAGS = 10_000;
/** A registry may tell of fewer at once, but not for ever. */
const MOST_PAGES = 200;
const PROGRESS_BYTES = 1024 * 1024;

const ACCEPT = [mediaTypes.ociIndex, mediaTypes.ociManifest, mediaTypes.dockerIndex, mediaTypes.dockerManifest].join(', ');

/** Takes in a blob: asks for its bytes from one on. */
export type BlobReceiver<T> = (from: (start: number) => AsyncIterable<Uint8Array>) => Promise<T>;

/** Reads one repository of one registry (OCI distribution spec 1.1, "Pull"). */
export class RegistryClient implements Disposable {
  readonly #session: RegistrySession;

  constructor(options: RegistryClientOptions) {
    this.#session = new RegistrySession(options, `repository:${options.repository}:pull`);
  }

  /** A manifest or index by tag or digest. By digest it is verified; by tag the registry's own word for it is. */
  async manifest(reference: string, signal?: AbortSignal): Promise<{ bytes: Buffer; digest: Digest; mediaType: string }> {
    const what = `the manifest ${this.#session.name(isDigest(reference) ? `@${reference}` : `:${reference}`)}`;
    return await this.#session.attempt(signal, async () => {
      const response = await this.#get(`manifests/${reference}`, what, { accept: ACCEPT }, signal);
      const bytes = await readBody(response, maxDocumentBytes, what);
      const digest = digestOf(bytes);
      const announced = isDigest(reference) ? reference : response.headers['docker-content-digest'];
      if (isDigest(announced) && announced !== digest)
        throw new UmiakError('Invalid', `${what}: its digest is ${digest}, not ${announced}`, {
          hint: 'It was altered on its way or in the registry.',
        });
      return { bytes, digest, mediaType: response.headers['content-type']?.split(';')[0]?.trim() ?? '' };
    });
  }

  /** All tags of the repository. @throws RequestEntityTooLarge when they are more than `MOST_TAGS` */
  async tags(signal?: AbortSignal): Promise<string[]> {
    const what = `the tags of ${this.#session.name('')}`;
    const tags: string[] = [];
    let target: string | URL = `tags/list?n=${TAGS_A_PAGE}`;
    for (let pages = 1; ; pages++) {
      const page: string | URL = target;
      const { link, document } = await this.#session.attempt(signal, async () => {
        const response = await this.#session.send(page, what, { headers: {}, expect: [200], ...(signal ? { signal } : {}) });
        return { link: response.headers.link, document: parseJsonObject(await readBody(response, maxDocumentBytes, what), what) };
      });
      if (Array.isArray(document.tags)) tags.push(...document.tags.filter(tag => typeof tag === 'string'));
      if (tags.length > MOST_TAGS || pages > MOST_PAGES)
        throw new UmiakError('RequestEntityTooLarge', `${what} are more than ${MOST_TAGS}`, { hint: 'Pull them by name.' });
      // RFC 5988, as the distribution spec has it: `</v2/…>; rel="next"`.
      const next = /<([^>]+)>\s*;\s*rel="?next"?/.exec(String(link ?? ''))?.[1];
      if (next === undefined) return tags;
      target = await this.#session.resolve(next, page, what);
    }
  }

  /**
   * Hands a way to a blob's bytes from any of them on to `receive`, which verifies the digest. A download that breaks off goes on where it
   * was; if what came in pieces proves wrong, it is fetched once more.
   */
  async blob<T>(digest: Digest, receive: BlobReceiver<T>, signal?: AbortSignal): Promise<T> {
    const progress = { breaks: 0 };
    const from = (start: number) => {
      if (start > 0) progress.breaks++;
      return this.#download(digest, progress, start, signal);
    };
    try {
      return await receive(from);
    } catch (error) {
      signal?.throwIfAborted();
      if (progress.breaks === 0 || !isUmiakError(error, 'Invalid')) throw error;
      return await receive(from);
    }
  }

  [Symbol.dispose](): void {
    this.#session[Symbol.dispose]();
  }

  async *#download(digest: Digest, progress: { breaks: number }, start: number, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const what = `the blob ${this.#session.name(`@${digest}`)}`;
    let at = start;
    for (let breaks = 0; ; ) {
      const from = at;
      const response = await this.#session.attempt(signal, () =>
        this.#get(`blobs/${digest}`, what, from > 0 ? { range: `bytes=${from}-` } : {}, signal),
      );
      try {
        for await (const chunk of partFrom(response, from, what)) {
          at += chunk.byteLength;
          yield chunk;
        }
        return;
      } catch (error) {
        signal?.throwIfAborted();
        progress.breaks++;
        breaks = at - from >= PROGRESS_BYTES ? 1 : breaks + 1;
        if (!mayPass(error) || breaks >= MAX_BREAKS) throw this.#session.toFinal(error);
        await this.#session.pause(250 * 2 ** (breaks - 1), signal);
      } finally {
        response.destroy();
      }
    }
  }

  #get(path: string, what: string, headers: Record<string, string>, signal?: AbortSignal): Promise<IncomingMessage> {
    const expect = headers.range === undefined ? [200] : [200, 206, 416];
    return this.#session.send(path, what, { headers, expect, ...(signal ? { signal } : {}) });
  }
}

/** The content from byte `from` on, whatever part of it the registry chose to send (RFC 9110, 14). */
async function* partFrom(response: IncomingMessage, from: number, what: string): AsyncGenerator<Uint8Array> {
  // Nothing is left: the connection broke after the last byte.
  if (response.statusCode === 416) return;
  const start = response.statusCode === 206 ? Number(/^bytes (\d+)-/.exec(response.headers['content-range'] ?? '')?.[1]) : 0;
  if (!(start <= from))
    throw new UmiakError('Invalid', `${what}: asked to go on at byte ${from}, the registry sent ${response.headers['content-range']}`);
  let skip = from - start;
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    const wanted = skip > 0 ? chunk.subarray(skip) : chunk;
    skip = Math.max(0, skip - chunk.byteLength);
    if (wanted.byteLength > 0) yield wanted;
  }
}
