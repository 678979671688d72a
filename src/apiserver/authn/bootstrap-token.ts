import { timingSafeEqual } from 'node:crypto';
import { UmiakError } from '#base/errors.ts';
import type { Secret } from '#kinds/types.gen.ts';
import type { Identity } from '../identity.ts';

/** `id.secret`, as kubeadm prints them. */
export const BOOTSTRAP_TOKEN = /^([a-z0-9]{6})\.([a-z0-9]{16})$/;
const GROUP = 'system:bootstrappers';

/**
 * Whom a bootstrap token names: it stands in Secret `bootstrap-token-<id>` of `kube-system`, type `bootstrap.kubernetes.io/token`.
 * @throws `Unauthorized`, the same whatever is wrong, so that nobody learns which ids exist.
 */
export function authenticateBootstrapToken(
  token: string,
  secretOf: ((key: { namespace: string; name: string }) => Secret | undefined) | undefined,
  now: number,
): Identity {
  const [, id = '', secret = ''] = BOOTSTRAP_TOKEN.exec(token) ?? [];
  const object = secretOf?.({ namespace: 'kube-system', name: `bootstrap-token-${id}` });
  const data = object?.type === 'bootstrap.kubernetes.io/token' && !object.metadata.deletionTimestamp ? (object.data ?? {}) : {};
  const text = (key: string) => Buffer.from(data[key] ?? '', 'base64').toString();
  const groups = text('auth-extra-groups').split(',').filter(Boolean);
  const isRight =
    text('token-id') === id &&
    isSame(text('token-secret'), secret) &&
    !isExpired(text('expiration'), now) &&
    text('usage-bootstrap-authentication') === 'true' &&
    groups.every(group => /^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/.test(group));
  if (!isRight) throw new UmiakError('Unauthorized', 'the bootstrap token is not valid');
  return { name: `system:bootstrap:${id}`, groups: [GROUP, ...groups, 'system:authenticated'] };
}

/** A moment nobody can read counts as past. */
function isExpired(expiration: string, now: number): boolean {
  return expiration !== '' && !(Date.parse(expiration) > now);
}

function isSame(left: string, right: string): boolean {
  const [a, b] = [Buffer.from(left), Buffer.from(right)];
  return a.length === b.length && timingSafeEqual(a, b);
}
