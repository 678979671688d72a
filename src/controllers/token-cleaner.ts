import { alsoWatch, defineController, done } from '#client/index.ts';
import { Namespace } from '#kinds/namespace.ts';
import { Secret } from '#kinds/secret.ts';
import { ignoreAbsent } from './absence.ts';
import { BOOTSTRAP_TOKEN, tokensOnly } from './token-secrets.ts';

const NAMESPACE = 'kube-system';

/** Removes bootstrap tokens whose time is over. */
export const tokenCleanerController = defineController<Namespace>({
  name: 'token-cleaner',
  watches: Namespace,
  alsoWatches: [
    alsoWatch(
      Secret,
      ({ type, metadata }) => (type === BOOTSTRAP_TOKEN && metadata.namespace === NAMESPACE ? [{ name: NAMESPACE }] : []),
      tokensOnly,
    ),
  ],
  async reconcile({ name }, { client, clock }) {
    if (name !== NAMESPACE) return done;
    const { expired, againInMs } = planCleaning(client.cached(Secret).list(NAMESPACE), clock.now());
    for (const { metadata } of expired) await ignoreAbsent(client.delete(Secret, metadata, { preconditions: { uid: metadata.uid ?? '' } }));
    return againInMs === undefined ? done : { againInMs };
  },
});

/** The tokens that have ended, and when to look again. One without an end stays. */
export function planCleaning(secrets: readonly Secret[], now: number): { expired: Secret[]; againInMs?: number } {
  const ending = secrets.flatMap(secret => {
    const text = secret.type === BOOTSTRAP_TOKEN && !secret.metadata.deletionTimestamp ? secret.data?.expiration : undefined;
    const at = text ? Date.parse(Buffer.from(text, 'base64').toString()) : Number.NaN;
    return Number.isNaN(at) ? [] : [{ secret, at }];
  });
  const later = ending.filter(({ at }) => at > now).map(({ at }) => at - now);
  return {
    expired: ending.filter(({ at }) => at <= now).map(({ secret }) => secret),
    ...(later.length && { againInMs: Math.min(...later) }),
  };
}
