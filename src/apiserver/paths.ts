import type { Context, Outcome } from './request.ts';

/** The version that clients are told; they compare it with their own. */
export const VERSION = {
  major: '1',
  minor: '36',
  gitVersion: 'v1.36.3+umiak',
  gitCommit: '',
  gitTreeState: 'clean',
  buildDate: '2026-11-23T00:00:00Z',
  goVersion: `node${process.versions.node}`,
  compiler: 'v8',
  platform: `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`,
};

/** Everything that is no resource and no discovery. */
export function answerPath({ route, query }: Context): Outcome | undefined {
  if (route.type !== 'path') return undefined;
  switch (route.path) {
    case '/version':
      return { type: 'value', status: 200, value: VERSION };
    case '/livez':
    case '/readyz':
    case '/healthz':
      return text(query.has('verbose') ? `[+]ping ok\n${route.path.slice(1)} check passed\n` : 'ok');
    default:
      return undefined;
  }
}

function text(body: string): Outcome {
  return { type: 'bytes', status: 200, bytes: Buffer.from(body), contentType: 'text/plain; charset=utf-8' };
}
