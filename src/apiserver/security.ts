import type { Clock } from '#base/clock.ts';
import type { Secret } from '#kinds/types.gen.ts';
import type { TokenSigner } from '#pki/tokens.ts';
import { discoveryDocuments } from './authn/openid.ts';
import { createAuthentication } from './authn.ts';
import { createAuthorization, OBSERVED_RESOURCES } from './authz.ts';
import type { ClusterReader, Security } from './server.ts';

export interface SecurityOptions {
  clock: Clock;
  tokens: TokenSigner;
  /** The authority's certificate, PEM: client certificates it signed are believed. */
  authority: string;
}

const RESOURCE_OF = { ServiceAccount: 'serviceaccounts', Pod: 'pods', Secret: 'secrets', Node: 'nodes' } as const;

/** The cluster's own way of knowing and allowing: tokens and certificates, RBAC and the Node authorizer. */
export function createSecurity({ clock, tokens, authority }: SecurityOptions): (cluster: ClusterReader) => Security {
  return cluster => {
    const lookup = (kind: keyof typeof RESOURCE_OF, key: { namespace?: string; name: string }) =>
      cluster.get('', RESOURCE_OF[kind], key)?.metadata;
    const secretOf = (key: { namespace: string; name: string }) => cluster.get('', 'secrets', key) as Secret | undefined;
    const { authenticate, issueToken, reviewToken } = createAuthentication({ clock, tokens, authority, lookup, secretOf });
    const { authorize, rulesOf, observe, checkEscalation } = createAuthorization();
    const documents = discoveryDocuments(tokens);
    const judges = { authorize, rulesOf, checkEscalation, observe, observed: OBSERVED_RESOURCES };
    return { authenticate, issueToken, reviewToken, documents, ...judges };
  };
}
