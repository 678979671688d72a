import type { RegistryAuth } from '#images/index.ts';
import { parseReference } from '#images/reference.ts';
import { invalidField } from './refuse.ts';
import type { AuthConfig } from './types.gen.ts';

/** The login for a pull, if there is one for that registry. Pure. @throws `Invalid` for an `auth` that is none */
export function planAuth(image: string, config: AuthConfig | undefined): RegistryAuth | undefined {
  if (!config || !isFor(parseReference(image).registry, config.serverAddress ?? '')) return undefined;
  const { username = '', password = '', auth = '', identityToken = '', registryToken = '' } = config;
  if (username !== '') return { username, password };
  if (identityToken !== '') return { identityToken };
  if (auth !== '') return fromBasic(auth);
  return registryToken === '' ? undefined : { registryToken };
}

function fromBasic(auth: string): RegistryAuth {
  const [, username = '', password = ''] = /^([^:]+):(.*)$/s.exec(Buffer.from(auth, 'base64').toString()) ?? [];
  if (username === '') throw invalidField('auth.auth', 'is not user:password in base64');
  return { username, password: password.replace(/\0+$/, '') };
}

const DOCKER_HUB = /^((index|registry-1)\.)?docker\.io$/;

/** Nobody gets a login that was meant for another host. */
function isFor(registry: string, serverAddress: string): boolean {
  if (serverAddress === '') return true;
  const host = serverAddress.replace(/^[a-z]+:\/\//, '').split('/')[0] ?? '';
  return host === registry || (DOCKER_HUB.test(host) && DOCKER_HUB.test(registry));
}
