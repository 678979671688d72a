import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { IncomingHttpHeaders } from 'node:http';
import * as http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import { ManualClock } from '#base/clock.ts';
import { messageOf } from '#base/errors.ts';
import { CertificateAuthority, type CertificatePair, newPrivateKey } from '#pki/ca.ts';
import { TokenSigner } from '#pki/tokens.ts';
import { type Authentication, type BoundObject, createAuthentication } from './authn.ts';

const clock = new ManualClock(Date.now());
const directory = mkdtempSync(join(tmpdir(), `umiak-authn-${process.pid}-`));
const objects = new Map<string, BoundObject>();
let authority: CertificateAuthority;
let authentication: Authentication;
let tokens: TokenSigner;
let server: http2.Http2SecureServer;

before(async () => {
  authority = await CertificateAuthority.open({ directory, clock });
  tokens = new TokenSigner({ key: newPrivateKey(), clock });
  authentication = createAuthentication({
    clock,
    tokens,
    authority: authority.certificate,
    lookup: (kind, { namespace, name }) => objects.get(`${kind}/${namespace ?? ''}/${name}`),
  });
  const { certificate: cert, key } = await authority.issue({ commonName: 'server', hosts: ['localhost'], usages: ['serverAuth'] });
  const options = { allowHTTP1: true, requestCert: true, rejectUnauthorized: false, ca: authority.certificate, cert, key };
  server = http2.createSecureServer(options, async (request, response) => {
    try {
      const { name, groups } = await authentication.authenticate({ headers: request.headers, socket: request.socket as TLSSocket });
      response.end(JSON.stringify({ name, groups }));
    } catch (error) {
      response.writeHead(401).end(messageOf(error));
    }
  });
  await new Promise<void>(resolve => server.listen(0, resolve));
});

after(async () => {
  await new Promise(resolve => server.close(resolve));
  rmSync(directory, { recursive: true, force: true });
});

interface Asked {
  pair?: CertificatePair | undefined;
  headers?: IncomingHttpHeaders;
  session?: Buffer | undefined;
}

/** One HTTP/1.1 request on a connection of its own; the answer's last line and the TLS session. */
async function ask({ pair, headers = {}, session }: Asked): Promise<{ body: string; session: Buffer | undefined; resumed: boolean }> {
  const { port } = server.address() as AddressInfo;
  const { promise, resolve, reject } = Promise.withResolvers<{ body: string; session: Buffer | undefined; resumed: boolean }>();
  const credentials = pair && { cert: pair.certificate, key: pair.key };
  const socket = connect({ port, host: 'localhost', ca: authority.certificate, session, ...credentials, ALPNProtocols: ['http/1.1'] });
  let [text, ticket] = ['', undefined as Buffer | undefined];
  socket.on('session', given => (ticket = given));
  socket.on('error', reject);
  socket.on('data', chunk => (text += chunk));
  socket.on('end', () => resolve({ body: text.split('\r\n\r\n').slice(1).join(), session: ticket, resumed: socket.isSessionReused() }));
  const lines = Object.entries({ host: 'localhost', connection: 'close', ...headers }).map(([name, value]) => `${name}: ${value}`);
  socket.write(`GET / HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
  return await promise;
}

const issue = (commonName: string, organizations: string[] = [], days?: number) =>
  authority.issue({ commonName, organizations, usages: ['clientAuth'], ...(days && { days }) });

test('a client certificate names its bearer, over HTTP/1.1, a resumed session and HTTP/2', async () => {
  const pair = await issue('jane', ['dev', 'ops']);
  const expected = JSON.stringify({ name: 'jane', groups: ['dev', 'ops', 'system:authenticated'] });
  const first = await ask({ pair });
  assert.equal(first.body, expected);
  const second = await ask({ pair, session: first.session });
  assert.equal(second.resumed, true);
  assert.equal(second.body, expected);

  const { port } = server.address() as AddressInfo;
  const client = http2.connect(`https://localhost:${port}`, { ca: authority.certificate, cert: pair.certificate, key: pair.key });
  try {
    for (let round = 0; round < 3; round++) {
      const stream = client.request({ ':path': '/' });
      assert.equal(Buffer.concat(await stream.toArray()).toString(), expected);
    }
  } finally {
    client.close();
  }
});

test('without credentials one is anonymous', async () => {
  assert.equal((await ask({})).body, JSON.stringify({ name: 'system:anonymous', groups: ['system:unauthenticated'] }));
});

test('a certificate that openssl signed with another authority of the same name is refused', async () => {
  const at = (name: string) => join(directory, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' });
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl('req', '-x509', ...curve, '-keyout', at('evil.key'), '-out', at('evil.crt'), '-subj', '/CN=kubernetes', '-days', '30');
  const leaf = ['-subj', '/O=system:masters/CN=kubernetes-admin', '-addext', 'extendedKeyUsage=clientAuth', '-days', '30'];
  openssl(
    'req',
    '-x509',
    ...curve,
    '-CA',
    at('evil.crt'),
    '-CAkey',
    at('evil.key'),
    '-keyout',
    at('leaf.key'),
    '-out',
    at('leaf.crt'),
    ...leaf,
  );
  const foreign = { certificate: readFileSync(at('leaf.crt'), 'utf8'), key: readFileSync(at('leaf.key'), 'utf8') };
  assert.match((await ask({ pair: foreign })).body, /not issued by this cluster/);
  openssl('req', '-x509', ...curve, '-keyout', at('self.key'), '-out', at('self.crt'), ...leaf);
  const selfSigned = { certificate: readFileSync(at('self.crt'), 'utf8'), key: readFileSync(at('self.key'), 'utf8') };
  assert.match((await ask({ pair: selfSigned })).body, /not issued by this cluster/);
});

test('a serving certificate is no client certificate', async () => {
  const pair = await authority.issue({ commonName: 'kubernetes-admin', organizations: ['system:masters'], usages: ['serverAuth'] });
  assert.match((await ask({ pair })).body, /not one for clients/);
});

test('a certificate ends its connection’s identity when it expires', async () => {
  const pair = await issue('brief', [], 1);
  const { port } = server.address() as AddressInfo;
  const client = http2.connect(`https://localhost:${port}`, { ca: authority.certificate, cert: pair.certificate, key: pair.key });
  const get = async () => Buffer.concat(await client.request({ ':path': '/' }).toArray()).toString();
  try {
    assert.match(await get(), /brief/);
    clock.advance(25 * 3_600_000);
    assert.match(await get(), /has expired/);
  } finally {
    client.close();
    clock.advance(-25 * 3_600_000);
  }
});

const order = { namespace: 'default', serviceAccount: { name: 'api', uid: 'sa-1' }, audiences: [], expirationSeconds: 600 };
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

test('a bearer token goes before the certificate, and a bad one is not rescued by it', async () => {
  objects.set('ServiceAccount/default/api', { uid: 'sa-1' });
  const pair = await issue('jane');
  const { token, expirationTimestamp } = await authentication.issueToken(order);
  assert.match(expirationTimestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.match((await ask({ pair, headers: bearer(token) })).body, /"system:serviceaccount:default:api"/);
  assert.match((await ask({ pair, headers: { authorization: `bearer  ${token} ` } })).body, /system:serviceaccounts:default/);
  assert.match((await ask({ pair, headers: bearer('nonsense') })).body, /not a token of this cluster/);
  const websocket = `v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.${Buffer.from(token).toString('base64url')}`;
  assert.match((await ask({ headers: { 'sec-websocket-protocol': websocket } })).body, /system:serviceaccount:default:api/);
});

test('a token ends with the objects it is bound to', async () => {
  const authenticate = (token: string) => authentication.authenticate({ headers: bearer(token) });
  const gone = (name: string) => ({ reason: 'Unauthorized', message: new RegExp(`bound to ${name}`) });
  objects.set('ServiceAccount/default/api', { uid: 'sa-1' });
  objects.set('Pod/default/api-x', { uid: 'pod-1' });
  const boundTo = { kind: 'Pod' as const, name: 'api-x', uid: 'pod-1' };
  const { token } = await authentication.issueToken({ ...order, boundTo, node: { name: 'box', uid: 'node-1' } });
  assert.deepEqual((await authenticate(token)).extra?.['authentication.kubernetes.io/pod-name'], ['api-x']);
  assert.deepEqual((await authenticate(token)).extra?.['authentication.kubernetes.io/node-name'], ['box']);
  objects.set('Pod/default/api-x', { uid: 'pod-1', deletionTimestamp: new Date(clock.now() - 30_000).toISOString() });
  await authenticate(token);
  objects.set('Pod/default/api-x', { uid: 'pod-1', deletionTimestamp: new Date(clock.now() - 61_000).toISOString() });
  await assert.rejects(authenticate(token), gone('Pod'));
  objects.set('Pod/default/api-x', { uid: 'pod-2' });
  await assert.rejects(authenticate(token), gone('Pod'));
  objects.set('Pod/default/api-x', { uid: 'pod-1' });
  objects.delete('ServiceAccount/default/api');
  await assert.rejects(authenticate(token), gone('ServiceAccount'));
  objects.set('ServiceAccount/default/api', { uid: 'sa-2' });
  await assert.rejects(authenticate(token), gone('ServiceAccount'));
});

test('reviews a token for the audiences asked for', async () => {
  objects.set('ServiceAccount/default/api', { uid: 'sa-1' });
  const { token } = await authentication.issueToken({ ...order, audiences: ['vault'] });
  assert.deepEqual((await authentication.reviewToken(token, ['x', 'vault'])).audiences, ['vault']);
  await assert.rejects(authentication.reviewToken(token, []), { reason: 'Unauthorized' });
  await assert.rejects(async () => authentication.authenticate({ headers: bearer(token) }), { reason: 'Unauthorized' });
});
