import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import { digestOf } from './digest.ts';
import type { FixtureImage } from './fixtures.ts';
import { mediaTypes, type Platform } from './oci.ts';

/** What the next answers to paths that match shall be instead. */
export type Fault = (request: IncomingMessage, response: ServerResponse) => boolean;

/** A registry and its token server on loopback, for tests: serves images from memory, counts, and misbehaves on demand. */
export class RegistryFixture implements AsyncDisposable {
  readonly requests: string[] = [];
  /** Credentials that may pull; without them, anybody who brings a token. */
  login: { username: string; password: string } | undefined;
  auth: 'none' | 'bearer' | 'basic' = 'bearer';
  /** Blobs are served from another origin, which must not see credentials. */
  redirectTo: RegistryFixture | undefined;
  /** Whether `Range` is understood; without, every answer is whole. */
  ranges = true;
  readonly faults: Fault[] = [];
  readonly #documents = new Map<string, { bytes: Buffer; mediaType: string }>();
  /** Tokens and what each may do. */
  readonly #tokens = new Map<string, string[]>();
  readonly #uploads = new Map<string, Buffer[]>();
  readonly #server;

  private constructor(tls?: ServerOptions) {
    const answer = (request: IncomingMessage, response: ServerResponse) => this.#answer(request, response);
    this.#server = tls ? createTlsServer(tls, answer) : createServer(answer);
  }

  /** With `tls` over HTTPS alone. */
  static async start(tls?: ServerOptions): Promise<RegistryFixture> {
    const registry = new RegistryFixture(tls);
    await new Promise<void>(resolve => registry.#server.listen(0, '127.0.0.1', resolve));
    return registry;
  }

  /** After how many bytes of the next pieces of an upload the connection breaks. */
  readonly cutUploadsAfter: number[] = [];
  /** Bytes that were uploaded of blobs, told once each time they are sent. */
  uploadedBytes = 0;

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  add(repository: string, tag: string, image: FixtureImage): void {
    for (const [digest, bytes] of image.blobs) this.addBlob(repository, digest, bytes);
    this.#addManifest(repository, [tag, image.manifest.digest], image.manifest.bytes, image.manifest.mediaType);
  }

  addBlob(repository: string, digest: string, bytes: Buffer): void {
    this.#documents.set(`/v2/${repository}/blobs/${digest}`, { bytes, mediaType: 'application/octet-stream' });
  }

  /** An index of images for several platforms; returns its digest. */
  addIndex(repository: string, tag: string, images: { platform: Platform; image: FixtureImage }[]): string {
    for (const { image } of images) this.add(repository, image.manifest.digest, image);
    const manifests = images.map(({ platform, image: { manifest } }) => ({
      mediaType: manifest.mediaType,
      digest: manifest.digest,
      size: manifest.bytes.length,
      platform,
    }));
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }));
    this.#addManifest(repository, [tag, digestOf(bytes)], bytes, mediaTypes.ociIndex);
    return digestOf(bytes);
  }

  /** How often a path with this text was asked for with 200 as the aim: retries after a challenge count. */
  count(text: string): number {
    return this.requests.filter(request => request.includes(text)).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise(resolve => this.#server.close(resolve));
  }

  #addManifest(repository: string, references: string[], bytes: Buffer, mediaType: string): void {
    for (const reference of references) this.#documents.set(`/v2/${repository}/manifests/${reference}`, { bytes, mediaType });
  }

  #answer(request: IncomingMessage, response: ServerResponse): unknown {
    const url = new URL(request.url ?? '/', `http://${this.host}`);
    this.requests.push(`${request.method} ${url.pathname}`);
    const fault = this.faults.findIndex(each => each(request, response));
    if (fault >= 0) return void this.faults.splice(fault, 1);
    if (url.pathname === '/token') return this.#giveToken(request, url, response);
    if (url.pathname.startsWith('/plain/')) return this.#serve(url.pathname.slice('/plain'.length), response);
    if (!this.#isAllowed(request, url)) return this.#challenge(request, url, response);
    if (request.method !== 'GET' || url.pathname.includes('/blobs/uploads/'))
      return void this.#write(request, url, response).catch(() => {});
    if (url.pathname.includes('/blobs/') && this.redirectTo)
      return void response.writeHead(307, { location: `http://${this.redirectTo.host}/plain${url.pathname}` }).end();
    const tagged = /^\/v2\/(.+)\/tags\/list$/.exec(url.pathname)?.[1];
    if (tagged !== undefined) return this.#listTags(tagged, url, response);
    this.#serve(url.pathname, response, this.ranges ? request.headers.range : undefined);
  }

  /** One a page, to be asked for by `Link`. */
  #listTags(repository: string, url: URL, response: ServerResponse): void {
    const prefix = `/v2/${repository}/manifests/`;
    const tags = [...this.#documents.keys()].flatMap(path =>
      path.startsWith(prefix) && !path.includes('sha256:') ? [path.slice(prefix.length)] : [],
    );
    const at = Number(url.searchParams.get('last') ?? 0);
    if (at + 1 < tags.length) response.setHeader('link', `</v2/${repository}/tags/list?last=${at + 1}>; rel="next"`);
    response.end(JSON.stringify({ name: repository, tags: tags.slice(at, at + 1) }));
  }

  #serve(path: string, response: ServerResponse, range?: string): void {
    const found = this.#documents.get(path);
    if (found === undefined)
      return void response.writeHead(404).end(JSON.stringify({ errors: [{ code: 'MANIFEST_UNKNOWN', message: 'manifest unknown' }] }));
    const { bytes, mediaType } = found;
    const from = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
    if (from >= bytes.length) return void response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end();
    if (from > 0)
      return void response
        .writeHead(206, { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}`, 'content-length': bytes.length - from })
        .end(bytes.subarray(from));
    response
      .writeHead(200, { 'content-type': mediaType, 'content-length': bytes.length, 'docker-content-digest': digestOf(bytes) })
      .end(bytes);
  }

  #giveToken(request: IncomingMessage, url: URL, response: ServerResponse): void {
    const isRight = this.login === undefined || request.headers.authorization === basicOf(this.login);
    const scopes = url.searchParams.getAll('scope');
    if (!isRight || url.searchParams.get('service') !== 'fixture' || !scopes.every(each => /^repository:.*:pull(,push)?$/.test(each)))
      return void response.writeHead(401).end('{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}');
    const token = randomUUID();
    this.#tokens.set(token, scopes);
    response.end(JSON.stringify({ token, expires_in: 60 }));
  }

  /** What a registry does with HEAD, POST, PATCH, PUT and the state of uploads (OCI distribution spec, "Push"). */
  async #write(request: IncomingMessage, url: URL, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = url;
    const [, repository = '', upload = ''] = /^\/v2\/(.+)\/blobs\/uploads\/(.*)$/.exec(pathname) ?? [];
    const held = this.#uploads.get(upload);
    const location = (id: string) => ({ location: `/v2/${repository}/blobs/uploads/${id}` });
    const sizeOf = (chunks: Buffer[]) => chunks.reduce((sum, { length }) => sum + length, 0);
    const range = (chunks: Buffer[]) => ({ range: `0-${Math.max(0, sizeOf(chunks) - 1)}` });
    const refuse = (status: number, code: string) => void response.writeHead(status).end(JSON.stringify({ errors: [{ code }] }));
    if (request.method === 'HEAD') {
      const found = this.#documents.get(pathname);
      return void response.writeHead(found ? 200 : 404, found ? { 'content-length': found.bytes.length } : {}).end();
    }
    if (request.method === 'POST') {
      const [mount, from] = [searchParams.get('mount') ?? '', searchParams.get('from')];
      const source = this.#documents.get(`/v2/${from}/blobs/${mount}`);
      if (source) {
        this.addBlob(repository, mount, source.bytes);
        return void response.writeHead(201, { location: `/v2/${repository}/blobs/${mount}` }).end();
      }
      const id = randomUUID();
      this.#uploads.set(id, []);
      return void response.writeHead(202, location(id)).end();
    }
    const isUpload = upload !== '';
    if (isUpload && held === undefined) return refuse(404, 'BLOB_UPLOAD_UNKNOWN');
    if (request.method === 'GET') return void response.writeHead(204, { ...location(upload), ...range(held ?? []) }).end();
    const chunks = held ?? [];
    const start = Number(/^(\d+)-/.exec(request.headers['content-range'] ?? '')?.[1] ?? sizeOf(chunks));
    if (start !== sizeOf(chunks)) return refuse(416, 'RANGE_INVALID');
    // What arrived before a connection broke is kept, as real ones do.
    const most = request.method === 'PATCH' ? (this.cutUploadsAfter.shift() ?? Number.POSITIVE_INFINITY) : Number.POSITIVE_INFINITY;
    for await (const chunk of request as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      if (isUpload) this.uploadedBytes += chunk.length;
      if (sizeOf(chunks) - start >= most) return void request.socket.destroy();
    }
    if (request.method === 'PATCH') return void response.writeHead(202, { ...location(upload), ...range(chunks) }).end();
    const bytes = Buffer.concat(chunks);
    if (!isUpload) return this.#takeManifest(request, pathname, bytes, response);
    const digest = searchParams.get('digest') ?? '';
    if (digestOf(bytes) !== digest) return refuse(400, 'DIGEST_INVALID');
    this.#uploads.delete(upload);
    this.addBlob(repository, digest, bytes);
    response.writeHead(201).end();
  }

  #takeManifest(request: IncomingMessage, pathname: string, bytes: Buffer, response: ServerResponse): void {
    const [, repository = '', reference = ''] = /^\/v2\/(.+)\/manifests\/(.+)$/.exec(pathname) ?? [];
    const { config, layers = [], manifests = [] } = JSON.parse(bytes.toString());
    const needed = [
      ...[...(config ? [config] : []), ...layers].map(({ digest }) => `blobs/${digest}`),
      ...manifests.map(({ digest }: { digest: string }) => `manifests/${digest}`),
    ];
    const missing = needed.find(each => !this.#documents.has(`/v2/${repository}/${each}`));
    if (missing !== undefined)
      return void response.writeHead(400).end(JSON.stringify({ errors: [{ code: 'MANIFEST_BLOB_UNKNOWN', message: missing }] }));
    this.#addManifest(repository, [reference, digestOf(bytes)], bytes, request.headers['content-type'] ?? '');
    response.writeHead(201, { 'docker-content-digest': digestOf(bytes) }).end();
  }

  #isAllowed({ method, headers: { authorization = '' } }: IncomingMessage, url: URL): boolean {
    if (this.auth === 'none') return true;
    if (this.auth === 'basic') return this.login !== undefined && authorization === basicOf(this.login);
    const scopes = this.#tokens.get(authorization.slice('Bearer '.length));
    if (scopes === undefined || method === 'GET' || method === 'HEAD') return scopes !== undefined;
    return scopes.includes(`repository:${repositoryOf(url)}:pull,push`);
  }

  #challenge({ method }: IncomingMessage, url: URL, response: ServerResponse): void {
    const scope = `repository:${repositoryOf(url)}:${method === 'GET' || method === 'HEAD' ? 'pull' : 'push,pull'}`;
    const challenge =
      this.auth === 'basic' ? 'Basic realm="fixture"' : `Bearer realm="http://${this.host}/token",service="fixture",scope="${scope}"`;
    response
      .writeHead(401, { 'www-authenticate': challenge })
      .end('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}');
  }
}

function repositoryOf({ pathname }: URL): string {
  return /^\/v2\/(.+)\/(?:blobs|manifests)\//.exec(pathname)?.[1] ?? '';
}

function basicOf({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}
