import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { UmiakError } from '#base/errors.ts';
import { compressed } from './compression.ts';
import type { Context, Outcome } from './request.ts';
import type { Resources, Served } from './resources.ts';
import { isSliceOver, nextSlice } from './slices.ts';

/** Clients ask for this type with either sign before the version. */
const V2_PROTOBUF = 'application/com.github.proto-openapi.spec.v2';
/** Only those who ask for documents need what makes them. */
async function maker(): Promise<typeof import('./openapi/document.ts')> {
  await import('#kinds/descriptions.ts');
  if (isSliceOver()) await nextSlice();
  const loaded = await import('./openapi/document.ts');
  if (isSliceOver()) await nextSlice();
  return loaded;
}
const unpacked = promisify(gunzip);

interface Document {
  hash: string;
  /** Gzipped: nearly every client takes it so, and it is a tenth of the size. */
  bytes: Promise<Buffer>;
}

/**
 * `/openapi/v2` and `/openapi/v3`: made from the schema and the definitions of custom resources when first asked for, in slices between
 * which others get their turn, and kept packed until something else is served. Their tag is a hash of what they are made from.
 */
export class OpenApi {
  readonly #resources: Resources;
  readonly #documents = new Map<string, Document>();
  #roots: { generation: number; byRoot: Map<string, Served[]> } | undefined;
  #hash: string | undefined;

  constructor(resources: Resources) {
    this.#resources = resources;
  }

  /** What is served at the moment, by the path of its group version. */
  get #byRoot(): Map<string, Served[]> {
    const { generation, all } = this.#resources;
    if (this.#roots?.generation !== generation) {
      const byRoot = Map.groupBy(all, ({ resource: { group, version } }) => (group ? `apis/${group}/${version}` : `api/${version}`));
      for (const name of this.#documents.keys()) if (name.startsWith('apis/') && !byRoot.has(name)) this.#documents.delete(name);
      this.#roots = { generation, byRoot };
    }
    return this.#roots.byRoot;
  }

  /** Undefined for other paths. @throws `NotAcceptable` */
  answer(path: string, context: Context): Outcome | Promise<Outcome> | undefined {
    if (path === '/openapi/v2') return this.#answerV2(context);
    if (path === '/openapi/v3') return this.#index();
    if (!path.startsWith('/openapi/v3/')) return undefined;
    const root = path.slice('/openapi/v3/'.length);
    const served = this.#byRoot.get(root);
    return served && this.#send(context, root, served, 'application/json', async () => (await maker()).makeV3(served));
  }

  #answerV2(context: Context): Promise<Outcome> {
    const form = v2FormOf(context.request.headers.accept);
    if (!form)
      throw new UmiakError('NotAcceptable', `only the following media types are accepted: application/json, ${V2_PROTOBUF}.v1.0+protobuf`);
    const { all } = this.#resources;
    return form === 'json'
      ? this.#send(context, 'v2', all, 'application/json', async () => (await maker()).makeV2(all))
      : this.#send(context, 'v2 protobuf', all, `${V2_PROTOBUF}.v1.0+protobuf`, async () => (await maker()).makeV2Protobuf(all));
  }

  async #index(): Promise<Outcome> {
    const paths: Record<string, object> = {};
    for (const [root, served] of this.#byRoot)
      paths[root] = { serverRelativeURL: `/openapi/v3/${root}?hash=${await this.#hashOf(served)}` };
    return { type: 'value', status: 200, value: { paths } };
  }

  async #send(
    { query, request }: Context,
    name: string,
    served: readonly Served[],
    contentType: string,
    make: () => Promise<AsyncIterable<Buffer>>,
  ): Promise<Outcome> {
    const hash = await this.#hashOf(served);
    const etag = `"${hash}"`;
    const headers: Record<string, string> = {
      etag,
      vary: 'Accept, Accept-Encoding',
      ...(query.has('hash') && { 'cache-control': 'public, max-age=31536000, immutable' }),
    };
    if (request.headers['if-none-match'] === etag) return { type: 'bytes', status: 304, bytes: Buffer.alloc(0), contentType, headers };
    const bytes = await this.#document(name, hash, make);
    if (/\bgzip\b/.test(String(request.headers['accept-encoding'] ?? '')))
      return { type: 'bytes', status: 200, bytes, contentType, headers: { ...headers, 'content-encoding': 'gzip' } };
    return { type: 'bytes', status: 200, bytes: await unpacked(bytes), contentType, headers };
  }

  /** Made once, whoever asks meanwhile. */
  #document(name: string, hash: string, make: () => Promise<AsyncIterable<Buffer>>): Promise<Buffer> {
    const known = this.#documents.get(name);
    if (known?.hash === hash) return known.bytes;
    const bytes = make().then(packed);
    bytes.catch(() => this.#documents.delete(name));
    this.#documents.set(name, { hash, bytes });
    return bytes;
  }

  async #hashOf(served: readonly Served[]): Promise<string> {
    this.#hash ??= (await maker()).sourceHash();
    const revisions = served.flatMap(({ kind }) => kind.openApi?.revision ?? []);
    if (revisions.length === 0) return this.#hash;
    return createHash('sha256')
      .update([this.#hash, ...revisions].join(' '))
      .digest('hex')
      .slice(0, 32);
  }
}

async function packed(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(compressed(pieces, { level: 4 })));
}

/** Whether JSON or protobuf comes first in the `Accept` header; undefined when neither does. */
export function v2FormOf(accept = ''): 'json' | 'protobuf' | undefined {
  if (accept.trim() === '') return 'json';
  for (const offer of accept.split(',')) {
    const type = offer.split(';', 1)[0]!.trim();
    if (type === `${V2_PROTOBUF}.v1.0+protobuf` || type === `${V2_PROTOBUF}@v1.0+protobuf`) return 'protobuf';
    if (type === 'application/json' || type === 'application/*' || type === '*/*') return 'json';
  }
  return undefined;
}
