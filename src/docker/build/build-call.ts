import { isUmiakError, messageOf, UmiakError } from '#base/errors.ts';
import { type BuildContext, type Builder, buildDockerfile, exitCodeOf } from '#builder/index.ts';
import { type Digest, parseReference, type RegistryAuth, toFamiliarName } from '#images/index.ts';
import { toDockerError } from '../docker-error.ts';
import { tellImage } from '../images/image-events.ts';
import { parseAuthConfig } from '../images/registry-auth-header.ts';
import type { DockerContext, DockerRequest } from '../request.ts';
import { BuildOutput } from './build-output.ts';
import { type BuildParameters, parseBuildParameters } from './build-parameters.ts';
import type { BuildRoom } from './build-room.ts';

/** `POST /build`: takes the context in, builds, tells it as it goes. */
export async function answerBuild(request: DockerRequest, room: BuildRoom): Promise<void> {
  const { query, incoming, response, context: docker } = request;
  const parameters = parseBuildParameters(query);
  const authFor = parseRegistryConfig(incoming.headers['x-registry-config']);
  const network = room.networkOf(parameters);
  using underWay = room.begin(parameters.buildId, request.signal);
  const { signal } = underWay;
  const builder = await room.builder();
  using context = builder.openContext();
  await takeIn(context, parameters, { incoming, signal });
  const output = new BuildOutput({ response, ...parameters });
  let warnings: readonly string[] = [];
  let bases: ReadonlySet<number> = new Set();
  let isNew = false;
  try {
    const id = await buildDockerfile(builder, {
      ...parameters,
      run: { ...parameters.run, ...network },
      context,
      authFor,
      signal,
      onEvent(event) {
        if (event.type === 'plan') {
          warnings = event.warnings;
          bases = new Set(event.steps.filter(({ isFrom }) => isFrom).map(({ vertex }) => vertex));
        } else if (event.type === 'done') isNew ||= !bases.has(event.vertex);
        output.tell(event);
      },
    });
    const names = parameters.names.map(toFamiliarName);
    if (isNew) tellImage(docker, 'create', id);
    await tellTags(docker, builder, id, names);
    output.warn(warnings);
    output.end(id, names);
  } catch (error) {
    if (request.signal.aborted) return;
    const code = exitCodeOf(error);
    if (!output.isBegun && code === undefined) throw error;
    if (!isUmiakError(error)) docker.log.error('a build failed', { error });
    output.fail(signal.aborted ? messageOf(signal.reason) : toDockerError(error).message, code);
  }
}

async function takeIn(
  context: BuildContext,
  { remote, dockerfile }: BuildParameters,
  { incoming, signal }: Pick<DockerRequest, 'incoming' | 'signal'>,
): Promise<void> {
  if (remote === '') {
    await context.receive(incoming, signal);
    return;
  }
  incoming.resume();
  if (/^(git@|git:|ssh:|github\.com\/)|\.git(#|$)/.test(remote) || remote === 'client-session')
    throw new UmiakError(
      'NotImplemented',
      `umiak does not build from a git repository (${remote.slice(0, 256)}): clone it, and build the directory`,
    );
  if (!/^https?:\/\//.test(remote))
    throw new UmiakError('BadRequest', `remote must be an http or https address, not ${remote.slice(0, 256)}`);
  await context.remote(remote, dockerfile, signal);
}

async function tellTags(docker: DockerContext, builder: Builder, id: Digest, names: readonly string[]): Promise<void> {
  const record = names.length > 0 ? await builder.images.inspect(id) : undefined;
  for (const name of names) tellImage(docker, 'tag', id, { name, record });
}

/** Logins by registry: base64 of JSON, `{"host": AuthConfig}`. @throws BadRequest */
function parseRegistryConfig(header: string | string[] | undefined): (reference: string) => RegistryAuth | undefined {
  if (header === undefined || header === '') return () => undefined;
  let content: Record<string, Record<string, unknown>>;
  try {
    content = JSON.parse(Buffer.from(String(header), 'base64').toString());
  } catch (cause) {
    throw new UmiakError('BadRequest', 'invalid X-Registry-Config header: it must be base64 of a JSON object', { cause });
  }
  const auths = new Map(Object.entries(content ?? {}).map(([host, auth]) => [hostOf(host), auth]));
  return reference => {
    const auth = auths.get(parseReference(reference).registry);
    return auth && parseAuthConfig(auth);
  };
}

/** `https://index.docker.io/v1/` is `docker.io`. */
function hostOf(address: string): string {
  const host = address.replace(/^https?:\/\//, '').split('/')[0] ?? '';
  return host === 'index.docker.io' || host === 'registry-1.docker.io' ? 'docker.io' : host;
}
