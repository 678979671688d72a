import { mkdtemp, rm } from 'node:fs/promises';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { systemClock } from '#base/clock.ts';
import { CertificateAuthority } from '#pki/ca.ts';
import type { AdmissionRequest } from './review.ts';

/** What a test's webhook answers: the response without its uid, or a whole text. */
export type TestAnswer = Record<string, unknown> | string | Promise<Record<string, unknown> | string>;

/** A real HTTPS server that answers AdmissionReviews by path, for tests. */
export interface TestWebhook extends AsyncDisposable {
  port: number;
  caBundle: string;
  /** Its own certificate, PEM. */
  certificate: string;
  url(path: string): string;
  /** Answers on that path from here on. */
  on(path: string, answer: (request: AdmissionRequest, apiVersion: string) => TestAnswer): void;
  requests: { path: string; query: string; request: AdmissionRequest }[];
  connections: number;
  /** Ends all connections, whatever is under way. */
  hangUp(): void;
}

export async function startTestWebhook(): Promise<TestWebhook> {
  const directory = await mkdtemp(join(tmpdir(), `umiak-webhook-${process.pid}-`));
  const authority = await CertificateAuthority.open({ directory, clock: systemClock });
  const pair = await authority.issue({ commonName: 'webhook', hosts: ['hook.default.svc', '127.0.0.1'], usages: ['serverAuth'] });
  const answers = new Map<string, (request: AdmissionRequest, apiVersion: string) => TestAnswer>();
  const requests: TestWebhook['requests'] = [];
  let connections = 0;
  const server = https.createServer({ key: pair.key, cert: pair.certificate }, async (incoming, outgoing) => {
    const { pathname, search } = new URL(incoming.url ?? '', 'https://x');
    const review = (await json(incoming)) as { apiVersion: string; request: AdmissionRequest };
    requests.push({ path: pathname, query: search, request: review.request });
    const answer = await answers.get(pathname)?.(review.request, review.apiVersion);
    if (answer === undefined) outgoing.writeHead(500).end('nobody answers here');
    else if (typeof answer === 'string') outgoing.end(answer);
    else
      outgoing.end(
        JSON.stringify({ apiVersion: review.apiVersion, kind: 'AdmissionReview', response: { uid: review.request.uid, ...answer } }),
      );
  });
  server.on('secureConnection', () => connections++);
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    caBundle: Buffer.from(authority.certificate).toString('base64'),
    certificate: pair.certificate,
    url: path => `https://127.0.0.1:${port}${path}`,
    on: (path, answer) => void answers.set(path, answer),
    requests,
    hangUp: () => server.closeAllConnections(),
    get connections() {
      return connections;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise(resolve => server.close(resolve));
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** A patch as a response carries it. */
export function patchOf(...operations: object[]): { allowed: true; patchType: 'JSONPatch'; patch: string } {
  return { allowed: true, patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(operations)).toString('base64') };
}
