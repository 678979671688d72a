import { execFile, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Debian's docker-registry on a free loopback port, without TLS. */
export interface TestRegistry extends AsyncDisposable {
  /** `localhost:PORT` */
  address: string;
  /** Puts an archive's only image there under `name:tag`. */
  push(ociArchive: string, name: string): Promise<void>;
}

/** Starts one that keeps its things in `directory`. */
export async function serveRegistry(directory: string): Promise<TestRegistry> {
  mkdirSync(directory, { recursive: true });
  const port = await freePort();
  const config = join(directory, 'config.yml');
  writeFileSync(
    config,
    `version: 0.1\nlog: { level: error }\nstorage: { filesystem: { rootdirectory: ${join(directory, 'data')} } }\nhttp: { addr: "127.0.0.1:${port}" }\n`,
  );
  const child = spawn('docker-registry', ['serve', config], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', chunk => (said += chunk));
  const ended = new Promise<void>(done => child.once('close', () => done()));
  const address = `localhost:${port}`;
  while (
    !(await fetch(`http://127.0.0.1:${port}/v2/`).then(
      response => response.ok,
      () => false,
    ))
  ) {
    if (child.exitCode !== null) throw new Error(`docker-registry ended: ${said}`);
    await new Promise(resume => setTimeout(resume, 20));
  }
  return {
    address,
    async push(ociArchive, name) {
      await run('skopeo', [
        'copy',
        '--dest-tls-verify=false',
        '--insecure-policy',
        `oci-archive:${ociArchive}`,
        `docker://127.0.0.1:${port}/${name}`,
      ]);
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(done => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  await new Promise(done => server.close(done));
  return typeof address === 'object' && address ? address.port : 0;
}
