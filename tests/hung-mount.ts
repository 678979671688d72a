import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, openSync, rmdirSync } from 'node:fs';
import { mount, umount } from '#linux/mount.ts';

/** A file system whose server never answers: who looks at it waits until it is disposed. */
export class HungMount implements AsyncDisposable {
  readonly path: string;
  readonly #server: ChildProcess;

  private constructor(path: string, server: ChildProcess) {
    this.path = path;
    this.#server = server;
  }

  static async open(path: string): Promise<HungMount> {
    mkdirSync(path);
    const server = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', import.meta.filename, path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(server.stdout, 'data');
    return new HungMount(path, server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#server, 'exit');
    this.#server.kill('SIGKILL'); // whoever waits gets an error
    await ended;
    umount(this.path, { detach: true });
    rmdirSync(this.path);
  }
}

if (import.meta.main) {
  const [path = ''] = process.argv.slice(2);
  const device = openSync('/dev/fuse', 'r+');
  mount('hung', path, 'fuse', 0, `fd=${device},rootmode=40000,user_id=0,group_id=0`);
  console.log('mounted');
  setInterval(() => {}, 1 << 30); // reads no request
}
