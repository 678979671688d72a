import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { parseReference } from '#images/reference.ts';

interface DockerConfig {
  auths?: Record<string, { auth?: string; identitytoken?: string; username?: string; password?: string }>;
}

/** What `docker login` stored for an image's registry, as the `X-Registry-Auth` header. Credential helpers are not asked. */
export async function registryAuthHeader(image: string, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const path = join(env.DOCKER_CONFIG ?? join(homedir(), '.docker'), 'config.json');
  let config: DockerConfig;
  try {
    config = JSON.parse(await readFile(path, 'utf8')) as DockerConfig;
  } catch {
    // No file, or one that is not docker's: there are no credentials.
    return undefined;
  }
  const { registry } = parseReference(image);
  const names = registry === 'docker.io' ? ['https://index.docker.io/v1/', 'docker.io'] : [registry, `https://${registry}`];
  const found = names.map(name => config.auths?.[name]).find(Boolean);
  return found ? Buffer.from(JSON.stringify(found)).toString('base64url') : undefined;
}
