/**
 * The real clients that judge the docker face: docker's own command and its compose plugin. The machine's docker command where it has one of
 * 2024 or later, else Debian trixie's; compose is trixie's. Fetched once; where that can't be done, tests that need them are not run.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Fetched, fetchDebianNext } from './third-party.ts';

const run = promisify(execFile);
const OLDEST_MAJOR = 25;
const USUAL = ['/usr/local/bin/docker', '/usr/bin/docker'];
const NEXT = 'trixie';

export interface DockerClients {
  /** The docker command's path. */
  docker: string;
  /** `28.2.2` */
  version: string;
  /** The compose plugin's path, or why there is none. */
  compose: Fetched<string>;
}

/** @param wants `compose` fetches the plugin, too */
export async function findDockerClients({ compose = false } = {}): Promise<Fetched<DockerClients>> {
  const docker = await findDocker();
  if (docker.missing !== undefined) return docker;
  return { have: { ...docker.have, compose: compose ? await fetchCompose() : { missing: 'nobody asked for compose' } } };
}

async function findDocker(): Promise<Fetched<{ docker: string; version: string }>> {
  for (const docker of USUAL) {
    const version = await versionOf(docker);
    if (version !== undefined && Number.parseInt(version, 10) >= OLDEST_MAJOR) return { have: { docker, version } };
  }
  const { have, missing } = await fetchDebianNext(NEXT, ['docker-cli']);
  if (have === undefined) return { missing: `the machine has no docker command, and ${missing}` };
  const docker = join(have, 'usr/bin/docker');
  return { have: { docker, version: (await versionOf(docker)) ?? 'unknown' } };
}

async function fetchCompose(): Promise<Fetched<string>> {
  const { have, missing } = await fetchDebianNext(NEXT, ['docker-compose']);
  return have === undefined ? { missing } : { have: join(have, 'usr/libexec/docker/cli-plugins/docker-compose') };
}

async function versionOf(docker: string): Promise<string | undefined> {
  if (!existsSync(docker)) return undefined;
  const { stdout } = await run(docker, ['--version']);
  return /version (\d+\.\d+\.\d+)/.exec(stdout)?.[1];
}
