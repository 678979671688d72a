import { UmiakError } from '#base/errors.ts';
import type { Step } from './pipeline.ts';

export interface InFlightOptions {
  /** Requests that read, served at the same time. */
  reading?: number;
  /** Requests that write. */
  writing?: number;
}

/**
 * Refuses with 429 what would be more than the server does at a time, so that it stays quick for those it serves. Watches, streams and
 * callers in this process are not counted. Shares among users and priorities will come here.
 */
export function limitInFlight({ reading = 2000, writing = 1000 }: InFlightOptions = {}): Step {
  const most = { reading, writing };
  const now = { reading: 0, writing: 0 };
  return async ({ request, route, identity }, next) => {
    if (request.identity || isLong(route) || identity.groups.includes('system:masters')) return await next();
    const side = request.method === 'GET' || request.method === 'HEAD' ? 'reading' : 'writing';
    if (now[side] >= most[side]) {
      throw new UmiakError('TooManyRequests', 'The server is busy with other requests, please try again later.', {
        details: { retryAfterSeconds: 1 },
      });
    }
    now[side]++;
    try {
      return await next();
    } finally {
      now[side]--;
    }
  };
}

function isLong(route: Parameters<Step>[0]['route']): boolean {
  return (
    route.type === 'resource' && (route.verb === 'watch' || ['log', 'exec', 'attach', 'portforward', 'proxy'].includes(route.subresource))
  );
}
