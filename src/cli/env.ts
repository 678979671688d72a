import { type OutputForm, printJson, type Streams } from './terminal.ts';

export interface EnvironmentPlaces {
  kubeconfig: string;
  dockerSocket: string;
  criSocket: string;
}

/** `umiak env`: lines for `eval "$(umiak env)"`, so that kubectl, docker and crictl find this instance. */
export function printEnvironment(streams: Streams, form: OutputForm, { kubeconfig, dockerSocket, criSocket }: EnvironmentPlaces): void {
  const variables = { KUBECONFIG: kubeconfig, DOCKER_HOST: `unix://${dockerSocket}`, CONTAINER_RUNTIME_ENDPOINT: `unix://${criSocket}` };
  if (form === 'json') {
    printJson(streams, variables);
    return;
  }
  const lines = Object.entries(variables).map(([name, value]) => `export ${name}=${shellQuoted(value)}\n`);
  streams.stdout.write(lines.join(''));
}

/** A word that any POSIX shell reads as it is. */
export function shellQuoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
