import type { Secret } from '#kinds/secret.ts';

const ACCOUNT_TOKEN = 'kubernetes.io/service-account-token';
export const BOOTSTRAP_TOKEN = 'bootstrap.kubernetes.io/token';
const ACCOUNT_NAME = 'kubernetes.io/service-account.name';
export const ACCOUNT_UID = 'kubernetes.io/service-account.uid';

/**
 * Of all Secrets of the cluster what the token controllers must know, and nothing secret: of those that hold a token the type, the
 * annotations, which keys there are and when it ends; of the others the name.
 */
export function tokensOnly({ apiVersion, kind, type, metadata, data = {} }: Secret): Secret {
  const { name, namespace, uid, resourceVersion, creationTimestamp, annotations, deletionTimestamp } = metadata;
  const bare = { name, namespace, uid, resourceVersion, creationTimestamp };
  if (type !== ACCOUNT_TOKEN && type !== BOOTSTRAP_TOKEN) return { apiVersion, kind, metadata: bare };
  const shown = Object.fromEntries(Object.keys(data).map(key => [key, key === 'expiration' ? data[key]! : '']));
  return { apiVersion, kind, type, metadata: { ...bare, annotations, deletionTimestamp }, data: shown };
}

/** Whose token the Secret is to hold, if it is one that asks for a token. */
export function accountOf({ type, metadata }: Secret): string | undefined {
  return type === ACCOUNT_TOKEN ? metadata.annotations?.[ACCOUNT_NAME] : undefined;
}
