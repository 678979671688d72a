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
  readonly #tokens = new Set<string>();
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
    if (!this.#isAllowed(request)) return this.#challenge(response);
    if (url.pathname.includes('/blobs/') && this.redirectTo)
      return void response.writeHead(307, { location: `http://${this.redirectTo.host}/plain${url.pathname}` }).end();
    this.#serve(url.pathname, response, this.ranges ? request.headers.range : undefined);
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
    if (!isRight || url.searchParams.get('service') !== 'fixture' || !/^repository:.*:pull$/.test(url.searchParams.get('scope') ?? ''))
      return void response.writeHead(401).end('{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}');
    const token = randomUUID();
    this.#tokens.add(token);
    response.end(JSON.stringify({ token, expires_in: 60 }));
  }

  #isAllowed({ headers: { authorization = '' } }: IncomingMessage): boolean {
    if (this.auth === 'none') return true;
    if (this.auth === 'basic') return this.login !== undefined && authorization === basicOf(this.login);
    return authorization.startsWith('Bearer ') && this.#tokens.has(authorization.slice('Bearer '.length));
  }

  #challenge(response: ServerResponse): void {
    const challenge = this.auth === 'basic' ? 'Basic realm="fixture"' : `Bearer realm="http://${this.host}/token",service="fixture"`;
    response
      .writeHead(401, { 'www-authenticate': challenge })
      .end('{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}');
  }
}

function basicOf({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}
