import { request } from 'node:https';

/** Asks an API server for `/readyz`. @throws unless it answers 200 */
export async function demandReady(url: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const asking = request(`${url}/readyz`, { rejectUnauthorized: false, agent: false }, response => {
    response.resume();
    if (response.statusCode === 200) resolve();
    else reject(new Error(`/readyz answers ${response.statusCode}`));
  });
  asking.on('error', reject).end();
  await promise;
}
