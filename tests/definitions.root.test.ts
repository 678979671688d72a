import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { KUBECTL, startTestCluster, type TestCluster } from '#apiserver/test-cluster.ts';

import { type Fetched, fetchGoModule } from './third-party.ts';

/** Definitions of others, an object that is fine by them, and what they refuse: a change of it and what is said. */
interface Case {
  name: string;
  fetched: Fetched<string>;
  /** How the project's own release makes a file of its sources. */
  release?: (text: string) => string;
  definitions: number;
  good: { apiVersion: string; kind: string; metadata: { name: string } } & { spec: Record<string, unknown> };
  bad: readonly (readonly [why: string, spec: Record<string, unknown>, said: RegExp])[];
  columns: RegExp;
  explained: readonly [field: string, said: RegExp];
}

const route = (rules: unknown[]) => ({ parentRefs: [{ name: 'web' }], rules });
const issuer = { name: 'ca', kind: 'ClusterIssuer' };

const cases: Case[] = [
  {
    name: 'Gateway API 1.4',
    fetched: await fetchGoModule('sigs.k8s.io/gateway-api', 'v1.4.0', 'config/crd/standard'),
    definitions: 6,
    good: {
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'HTTPRoute',
      metadata: { name: 'web' },
      spec: route([{ matches: [{ path: { value: '/a' } }], backendRefs: [{ name: 'web', port: 80 }] }]),
    },
    bad: [
      ['an unknown type of path', route([{ matches: [{ path: { type: 'Guess', value: '/' } }] }]), /Unsupported value: "Guess"/],
      ['a path with ..', route([{ matches: [{ path: { value: '/a/../b' } }] }]), /must not contain '\/\.\.\/' when type one of/],
      ['a port out of range', route([{ backendRefs: [{ name: 'web', port: 70_000 }] }]), /should be less than or equal to 65535/],
      [
        'a redirect beside a backend',
        route([{ backendRefs: [{ name: 'web', port: 80 }], filters: [{ type: 'RequestRedirect', requestRedirect: { statusCode: 301 } }] }]),
        /RequestRedirect filter must not be used together with backendRefs/,
      ],
      [
        'two parents that are the same',
        { parentRefs: [{ name: 'a' }, { name: 'a' }] },
        /sectionName (?:or port )?must be (?:unique|specified)/,
      ],
    ],
    columns: /NAME +HOSTNAMES +AGE/,
    explained: ['httproute.spec.rules.matches.path.type', /ENUM:[\s\S]*PathPrefix/],
  },
  {
    name: 'cert-manager 1.18',
    fetched: await fetchGoModule('github.com/cert-manager/cert-manager', 'v1.18.2', 'deploy/crds'),
    release: text => text.replaceAll(/'\{\{[^}]*\}\}'/g, 'cert-manager'),
    definitions: 6,
    good: {
      apiVersion: 'cert-manager.io/v1',
      kind: 'Certificate',
      metadata: { name: 'web' },
      spec: { secretName: 'web-tls', dnsNames: ['web.test'], issuerRef: issuer },
    },
    bad: [
      ['no Secret', { issuerRef: issuer, dnsNames: ['a'] }, /spec\.secretName: Required value/],
      ['an unknown algorithm', { secretName: 'x', issuerRef: issuer, privateKey: { algorithm: 'DSA' } }, /Unsupported value: "DSA"/],
      [
        'names that are no list',
        { secretName: 'x', issuerRef: issuer, dnsNames: 'a' },
        /spec\.dnsNames: Invalid value: "string"|expected list|cannot unmarshal/,
      ],
      ['an unknown field', { secretName: 'x', issuerRef: issuer, secretNam: 'y' }, /unknown field "spec\.secretNam"/],
    ],
    columns: /NAME +READY +SECRET +AGE/,
    explained: ['certificate.spec.issuerRef', /FIELD: issuerRef/],
  },
];

for (const { name, fetched, release = (text: string) => text, definitions, good, bad, columns, explained } of cases)
  describe(`definitions of ${name}`, { skip: fetched.missing ?? false }, () => {
    let cluster: TestCluster;
    let file: string;

    before(async () => {
      cluster = await startTestCluster();
      file = join(cluster.directory, 'definitions.yaml');
      const directory = fetched.have ?? '';
      const files = readdirSync(directory).filter(name => /^(?:crd-|gateway\.).*\.yaml$/.test(name));
      writeFileSync(file, files.map(each => release(readFileSync(join(directory, each), 'utf8'))).join('\n---\n'));
    });
    after(() => cluster?.[Symbol.asyncDispose]());

    const tryKubectl = (args: string[], input?: unknown) => kubectlOf(cluster, args, input);
    const kubectl = async (args: string[], input?: unknown) => {
      const { code, stdout, stderr } = await tryKubectl(args, input);
      assert.equal(code, 0, `kubectl ${args.join(' ')}: ${stdout}${stderr}`);
      return stdout;
    };

    test('applied on the server side, then on the client side; again nothing changes', async () => {
      const created = await kubectl(['apply', '--server-side', '-f', file]);
      assert.equal(created.match(/serverside-applied/g)?.length, definitions, created);
      await kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=20s']);
      assert.match(await kubectl(['apply', '--server-side', '-f', file]), /serverside-applied/);
      await kubectl(['delete', '-f', file]);
      // Some of them are larger than the annotation may be in which kubectl would keep what it applied last.
      await kubectl(['create', '-f', file]);
      assert.equal((await kubectl(['replace', '-f', file])).match(/replaced/g)?.length, definitions);
      await kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=20s']);
    });

    test('an object of them by either apply, its columns, its fields explained', async () => {
      assert.match(await kubectl(['apply', '-f', '-'], good), /created/);
      const revision = () => kubectl(['get', good.kind, good.metadata.name, '-o', 'jsonpath={.metadata.resourceVersion}']);
      const before = await revision();
      await kubectl(['apply', '-f', '-'], good);
      assert.equal(await revision(), before, 'the same again is no write');
      assert.match(await kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], good), /serverside-applied/);
      assert.match(await kubectl(['get', good.kind]), columns);
      assert.match(await kubectl(['explain', explained[0]]), explained[1]);
    });

    for (const [why, spec, said] of bad)
      test(`refused: ${why}`, async () => {
        const { code, stderr } = await tryKubectl(['create', '-f', '-'], { ...good, metadata: { name: 'bad' }, spec });
        assert.notEqual(code, 0);
        assert.match(stderr, said);
      });
  });

function kubectlOf(cluster: TestCluster, args: string[], input?: unknown): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = spawn(KUBECTL, args, { env: { ...process.env, KUBECONFIG: cluster.kubeconfig, HOME: cluster.directory } });
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) child[name].setEncoding('utf8').on('data', chunk => (said[name] += chunk));
  child.stdin.end(input === undefined ? '' : JSON.stringify(input));
  return new Promise(done => child.once('close', code => done({ code: code ?? 1, ...said })));
}
