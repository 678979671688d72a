import { UmiakError } from '#base/errors.ts';
import type { Secret } from '#kinds/types.gen.ts';
import type { LegacyClaims } from '#pki/tokens.ts';
import type { BoundObjectLookup } from '../authn.ts';
import type { Identity } from '../identity.ts';

export interface LegacyTokenOptions {
  token: string;
  claims: LegacyClaims;
  secretOf: ((key: { namespace: string; name: string }) => Secret | undefined) | undefined;
  lookup: BoundObjectLookup;
}

/** Whom the token of a Secret names, as long as the Secret holds it and the ServiceAccount is still the same. @throws `Unauthorized` */
export async function checkLegacyToken({ token, claims, secretOf, lookup }: LegacyTokenOptions): Promise<Identity> {
  const namespace = claims['kubernetes.io/serviceaccount/namespace'];
  const secretName = claims['kubernetes.io/serviceaccount/secret.name'];
  const [name, uid] = [
    claims['kubernetes.io/serviceaccount/service-account.name'],
    claims['kubernetes.io/serviceaccount/service-account.uid'],
  ];
  const secret = secretOf?.({ namespace, name: secretName });
  const held = Buffer.from(secret?.data?.token ?? '', 'base64').toString();
  if (!secret || secret.metadata.deletionTimestamp || held !== token)
    throw new UmiakError('Unauthorized', `the token's Secret ${namespace}/${secretName} does not hold it any more`);
  const account = await lookup('ServiceAccount', { namespace, name });
  if (!account || account.deletionTimestamp || account.uid !== uid)
    throw new UmiakError('Unauthorized', `the token's ServiceAccount ${namespace}/${name} is gone or was made anew`);
  return {
    name: claims.sub,
    uid,
    groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
  };
}
