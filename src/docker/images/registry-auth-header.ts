import { UmiakError } from '#base/errors.ts';
import type { RegistryAuth } from '#images/registry-auth.ts';

/** Reads `X-Registry-Auth`: base64url of JSON; docker also sends one that holds nothing. @throws BadRequest */
export function parseRegistryAuth(header: string | string[] | undefined): RegistryAuth | undefined {
  if (header === undefined || header === '') return undefined;
  return parseAuthConfig(parse(String(header)));
}

/** Docker's `AuthConfig`; undefined where it holds no credentials. Pure. */
export function parseAuthConfig(content: Readonly<Record<string, unknown>>): RegistryAuth | undefined {
  const text = (key: string) => {
    const value = content[key];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const registryToken = text('registrytoken');
  if (registryToken !== undefined) return { registryToken };
  const identityToken = text('identitytoken');
  if (identityToken !== undefined) return { identityToken };
  const [username, password] = [text('username'), text('password')];
  if (username !== undefined && password !== undefined) return { username, password };
  const pair = Buffer.from(text('auth') ?? '', 'base64').toString();
  const colon = pair.indexOf(':');
  return colon > 0 ? { username: pair.slice(0, colon), password: pair.slice(colon + 1) } : undefined;
}

function parse(header: string): Record<string, unknown> {
  try {
    const content: unknown = JSON.parse(Buffer.from(header, 'base64url').toString());
    if (typeof content === 'object' && content !== null) return content as Record<string, unknown>;
  } catch {
    // Refused below; the header holds secrets and is not quoted.
  }
  throw new UmiakError('BadRequest', 'invalid X-Registry-Auth header: it must be base64url of a JSON object');
}
