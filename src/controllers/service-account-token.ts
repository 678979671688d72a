import { alsoWatch, type Controller, defineController, done } from '#client/index.ts';
import { Secret } from '#kinds/secret.ts';
import { ServiceAccount } from '#kinds/service-account.ts';
import { ignoreAbsent } from './absence.ts';
import { ACCOUNT_UID, accountOf, tokensOnly } from './token-secrets.ts';

/** Signs the token that a Secret of the given name holds for its ServiceAccount. */
export type SignSecretToken = (request: { namespace: string; secretName: string; serviceAccount: { name: string; uid: string } }) => string;

export interface ServiceAccountTokenOptions {
  caPem: string;
  sign: SignSecretToken;
}

/** Fills Secrets of type `kubernetes.io/service-account-token`, and removes them with their ServiceAccount. */
export function serviceAccountTokenController({ caPem, sign }: ServiceAccountTokenOptions): Controller<ServiceAccount> {
  return defineController<ServiceAccount>({
    name: 'token-controller',
    watches: ServiceAccount,
    alsoWatches: [
      alsoWatch(
        Secret,
        secret => {
          const name = accountOf(secret);
          return name ? [{ namespace: secret.metadata.namespace, name }] : [];
        },
        tokensOnly,
      ),
    ],
    async reconcile(key, { client }) {
      const account = await client.get(ServiceAccount, key);
      const secrets = client
        .cached(Secret)
        .list(key.namespace)
        .filter(secret => accountOf(secret) === key.name);
      for (const { action, secret } of planTokenSecrets(secrets, account)) {
        const { uid, resourceVersion, name, namespace = '' } = secret.metadata;
        if (action === 'delete') {
          // The picture of accounts may be behind the one of Secrets; when it has caught up, this comes again.
          const live = await client.getLive(ServiceAccount, key);
          if (planTokenSecrets([secret], live)[0]?.action !== 'delete') continue;
          await ignoreAbsent(client.delete(Secret, secret.metadata, { preconditions: { uid } }));
          continue;
        }
        const serviceAccount = { name: account!.metadata.name, uid: account!.metadata.uid ?? '' };
        const data = {
          token: secret.data?.token === undefined ? base64(sign({ namespace, secretName: name, serviceAccount })) : undefined,
          'ca.crt': base64(caPem),
          namespace: base64(namespace),
        };
        const metadata = { uid, resourceVersion, annotations: { [ACCOUNT_UID]: serviceAccount.uid } };
        await ignoreAbsent(client.patch(Secret, secret.metadata, { metadata, data }, { type: 'merge' }));
      }
      return done;
    },
  });
}

/** Which of an account's Secrets must be filled, and which go because the account they were for is gone. */
export function planTokenSecrets(
  secrets: readonly Secret[],
  account: ServiceAccount | undefined,
): { action: 'fill' | 'delete'; secret: Secret }[] {
  const living = account?.metadata.deletionTimestamp ? undefined : account;
  return secrets.flatMap((secret): { action: 'fill' | 'delete'; secret: Secret }[] => {
    if (secret.metadata.deletionTimestamp) return [];
    const uid = secret.metadata.annotations?.[ACCOUNT_UID];
    if (!living || (uid && uid !== living.metadata.uid)) return [{ action: 'delete', secret }];
    const isWhole = uid && ['token', 'ca.crt', 'namespace'].every(key => secret.data?.[key] !== undefined);
    return isWhole ? [] : [{ action: 'fill', secret }];
  });
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
