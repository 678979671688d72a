import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { UmiakError } from '#base/errors.ts';
import { isObject } from '#base/json-object.ts';
import { parseReference } from '#images/reference.ts';

const HUB = 'https://index.docker.io/v1/';

/**
 * What `docker login` keeps for an image's registry, as the `X-Registry-Auth` header: by the registry's helper (`credHelpers`), by the helper for
 * all (`credsStore`), or in the file itself (`auths`), as docker's client reads its `config.json`.
 * @throws Unauthorized when a helper fails, naming it
 */
export async function registryAuthHeader(image: string, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const path = join(env.DOCKER_CONFIG ?? join(env.HOME ?? homedir(), '.docker'), 'config.json');
  const config = await readConfig(path);
  const { registry } = parseReference(image);
  const helper = planHelper(config, registry);
  const login = helper === undefined ? loginIn(config, registry) : await askHelper(helper, registry, { path, env });
  return login ? Buffer.from(JSON.stringify(login)).toString('base64url') : undefined;
}

type Config = Record<string, unknown>;

async function readConfig(path: string): Promise<Config> {
  try {
    const config: unknown = JSON.parse(await readFile(path, 'utf8'));
    return isObject(config) ? config : {};
  } catch {
    // No file, or one that is not docker's: there are no credentials.
    return {};
  }
}

/** The helper that knows a registry's login; undefined: the file itself does. */
export function planHelper({ credHelpers, credsStore }: Config, registry: string): string | undefined {
  const own = isObject(credHelpers) ? (credHelpers[serverOf(registry)] ?? credHelpers[registry]) : undefined;
  const helper = own ?? credsStore;
  return typeof helper === 'string' && helper !== '' ? helper : undefined;
}

/** Speaks docker's credential helper protocol: the server on stdin, `{"Username","Secret"}` on stdout. */
async function askHelper(
  name: string,
  registry: string,
  { path, env }: { path: string; env: NodeJS.ProcessEnv },
): Promise<Config | undefined> {
  if (!/^[\w.-]+$/.test(name))
    throw new UmiakError('Unauthorized', `${path}: ${JSON.stringify(name)} is no name of a credential helper`, {
      hint: 'It is what follows docker-credential- in the name of the program.',
    });
  const { askForCredentials } = await import('#images/credential-program.ts');
  const output = await askForCredentials(
    { file: `docker-credential-${name}`, args: ['get'], env: { ...process.env, ...env }, input: serverOf(registry) },
    said => said.trim() === 'credentials not found in native keychain',
  );
  if (output === undefined) return undefined;
  const { Username, Secret } = parseAnswer(output, name);
  return Username === '<token>' ? { identitytoken: Secret } : { username: Username, password: Secret };
}

/** The answer is not quoted: it holds the secret. */
function parseAnswer(output: string, name: string): { Username: string; Secret: string } {
  try {
    const answer: unknown = JSON.parse(output);
    if (isObject(answer) && typeof answer.Username === 'string' && typeof answer.Secret === 'string')
      return { Username: answer.Username, Secret: answer.Secret };
  } catch {
    // Refused below.
  }
  throw new UmiakError('Unauthorized', `the credential helper docker-credential-${name} answered with something that is no login`);
}

function loginIn({ auths }: Config, registry: string): unknown {
  if (!isObject(auths)) return undefined;
  const exact = auths[serverOf(registry)] ?? auths[registry];
  return exact ?? Object.entries(auths).find(([server]) => hostOf(server) === registry)?.[1];
}

/** What docker calls a registry where it keeps logins. */
function serverOf(registry: string): string {
  return registry === 'docker.io' ? HUB : registry;
}

function hostOf(server: string): string {
  const [host = ''] = server.replace(/^https?:\/\//, '').split('/');
  return host === 'index.docker.io' ? 'docker.io' : host;
}
