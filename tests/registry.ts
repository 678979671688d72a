import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Debian's docker-registry on a free loopback port, without TLS. */
export interface TestRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT` */
  host: string;
  /** `localhost:PORT` */
  address: string;
  /** Puts an archive's only image there under `name:tag`. */
  push(ociArchive: string, name: string): Promise<void>;
}

/** Starts one that keeps its things in `directory`. */
export async function serveRegistry(directory: string): Promise<TestRegistry> {
  mkdirSync(directory, { recursive: true });
  const config = join(directory, 'config.yml');
  const storage = { filesystem: { rootdirectory: join(directory, 'data') } };
  writeFileSync(config, JSON.stringify({ version: 0.1, log: { level: 'info' }, storage, http: { addr: '127.0.0.1:0' } }));
  const child = spawn('docker-registry', ['serve', config], { stdio: ['ignore', 'ignore', 'pipe'] });
  const host = await listeningAt(child);
  return {
    host,
    address: host.replace('127.0.0.1', 'localhost'),
    async push(ociArchive, name) {
      await run('skopeo', [
        'copy',
        '--dest-tls-verify=false',
        '--insecure-policy',
        `oci-archive:${ociArchive}`,
        `docker://${host}/${name}`,
      ]);
    },
    async [Symbol.asyncDispose]() {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}

function listeningAt(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = '';
    child.once('error', cause => reject(new Error('docker-registry can’t be run; make setup installs it', { cause })));
    child.once('exit', () => reject(new Error(`docker-registry ended: ${said}`)));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
      const host = /listening on (127\.0\.0\.1:\d+)/.exec(said)?.[1];
      if (host !== undefined) resolve(host);
    });
  });
}
