import { UmiakError } from '#base/errors.ts';
import type { Discovery } from './discovery.ts';
import type { Metrics } from './metrics.ts';
import type { OpenApi } from './openapi.ts';
import type { Context, Outcome, PathRoute } from './request.ts';
import { noSuchResource } from './routes.ts';

/** The version that clients are told; they compare it with their own. */
export const VERSION = {
  major: '1',
  minor: '36',
  emulationMajor: '1',
  emulationMinor: '36',
  minCompatibilityMajor: '1',
  minCompatibilityMinor: '35',
  gitVersion: 'v1.36.3+umiak',
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '2026-11-23T00:00:00Z',
  goVersion: `node${process.versions.node}`,
  compiler: 'v8',
  platform: `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`,
};

/** One thing that must be well for the server to be well. A text says why it isn't. */
export interface HealthCheck {
  name: string;
  check: () => string | undefined;
}

/** Documents by path, made when asked for. */
export type Documents = ReadonlyMap<string, () => { contentType: string; bytes: Buffer }>;

export interface PathOptions {
  discovery: Discovery;
  openApi: OpenApi;
  metrics: Metrics;
  health: readonly HealthCheck[];
  documents?: Documents | undefined;
}

/** Answers what is no resource: discovery, OpenAPI, version, health, metrics. @throws `NotFound`, `MethodNotAllowed` */
export function answerPath(
  context: Context<PathRoute>,
  { discovery, openApi, metrics, health, documents }: PathOptions,
): Outcome | Promise<Outcome> {
  const { path, verb } = context.route;
  if (verb !== 'get' && verb !== 'head')
    throw new UmiakError('MethodNotAllowed', 'the server does not allow this method on the requested resource');
  const found = discovery.answer(path, context) ?? openApi.answer(path, context);
  if (found) return found;
  const document = documents?.get(path);
  if (document) return { type: 'bytes', status: 200, ...document(), headers: { 'cache-control': 'public, max-age=3600' } };
  const [, root = '', one = '', more] = path.split('/');
  if (more === undefined && (root === 'livez' || root === 'readyz' || root === 'healthz')) return answerHealth(root, one, context, health);
  switch (path) {
    case '/':
      return { type: 'value', status: 200, value: { paths: PATHS } };
    case '/version':
    case '/version/':
      return VERSION_ANSWER;
    case '/metrics':
      return text(metrics.text(), 200, 'text/plain; version=0.0.4; charset=utf-8');
    case '/metrics/slis':
      return text(healthMetrics(health), 200, 'text/plain; version=0.0.4; charset=utf-8');
    default:
      throw noSuchResource();
  }
}

/** JSON whatever the client accepts: clients that ask for nothing but protobuf read it, too. */
const VERSION_ANSWER: Outcome = {
  type: 'bytes',
  status: 200,
  bytes: Buffer.from(JSON.stringify(VERSION, null, 2)),
  contentType: 'application/json',
};

const PATHS = [
  '/.well-known/openid-configuration',
  '/api',
  '/api/v1',
  '/apis',
  '/healthz',
  '/livez',
  '/metrics',
  '/metrics/slis',
  '/openapi/v3',
  '/openid/v1/jwks',
  '/readyz',
  '/version',
];

function answerHealth(root: string, one: string, { query }: Context, health: readonly HealthCheck[]): Outcome {
  const excluded = new Set(query.getAll('exclude'));
  const checks = [{ name: 'ping', check: () => undefined }, ...health].filter(
    ({ name }) => (one === '' || name === one) && !excluded.has(name),
  );
  if (checks.length === 0) throw noSuchResource();
  const results = checks.map(({ name, check }) => ({ name, why: check() }));
  const failed = results.filter(({ why }) => why !== undefined);
  if (failed.length === 0 && !query.has('verbose')) return text('ok');
  const lines = results.map(({ name, why }) => (why === undefined ? `[+]${name} ok` : `[-]${name} failed: ${why}`));
  return text(`${lines.join('\n')}\n${root} check ${failed.length > 0 ? 'failed' : 'passed'}\n`, failed.length > 0 ? 500 : 200);
}

/** Each check as a gauge, under the name that service level indicators are read by. */
function healthMetrics(health: readonly HealthCheck[]): string {
  const lines = ['# HELP kubernetes_healthcheck Whether a health check holds.', '# TYPE kubernetes_healthcheck gauge'];
  const checks = [{ name: 'ping', check: () => undefined }, ...health].map(({ name, check }) => ({ name, isWell: check() === undefined }));
  for (const type of ['healthz', 'livez', 'readyz'])
    for (const { name, isWell } of checks) lines.push(`kubernetes_healthcheck{name="${name}",type="${type}"} ${isWell ? 1 : 0}`);
  return `${lines.join('\n')}\n`;
}

function text(body: string, status = 200, contentType = 'text/plain; charset=utf-8'): Outcome {
  return { type: 'bytes', status, bytes: Buffer.from(body), contentType };
}
