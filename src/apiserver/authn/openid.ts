import type { TokenSigner } from '#pki/tokens.ts';
import type { Documents } from '../paths.ts';

/** What lets others check our service accounts' tokens: OpenID Connect discovery and the public keys. */
export function discoveryDocuments(tokens: TokenSigner): Documents {
  const json = (value: unknown, contentType: string) => () => ({ contentType, bytes: Buffer.from(JSON.stringify(value)) });
  return new Map([
    ['/.well-known/openid-configuration', json(tokens.openidConfiguration(), 'application/json')],
    ['/openid/v1/jwks', json(tokens.jwks(), 'application/jwk-set+json')],
  ]);
}
