import { messageOf, UmiakError } from '#base/errors.ts';
import type { ExecSession } from '#engine/index.ts';
import { sayOfSpec } from '../containers/failures.ts';
import { type DockerRequest, readJson, sendJson } from '../request.ts';
import type { DockerContainer } from '../rooms.ts';
import { Client } from './client.ts';
import { parseExecConfig, parseExecStart, planExecStart } from './exec-forms.ts';
import type { Exec, ExecConfig, ExecRegistry } from './exec-registry.ts';
import { planContentType, RAW, toFrame } from './frames.ts';
import { joinSession } from './join-session.ts';
import { readSize } from './resize.ts';
import { conflict, emitOf, requireActive, type StreamsRoom } from './room.ts';

/** After its end, for what it started to let go of its outputs. */
const LEFT_OPEN_MS = 2_000;

/** What is done with execs. */
export class ExecCalls {
  readonly #room: StreamsRoom;
  readonly #registry: ExecRegistry;
  /** Resolve when all of an exec has ended. */
  readonly #endings = new WeakMap<Exec, Promise<void>>();

  constructor(room: StreamsRoom, registry: ExecRegistry) {
    this.#room = room;
    this.#registry = registry;
  }

  /** `POST /containers/{id}/exec` */
  async create({ name, incoming, response }: DockerRequest): Promise<void> {
    const body = await readJson(incoming);
    const container = this.#room.containers.find(name);
    requireActive(this.#room, container, 'exec');
    const config = parseExecConfig(body, container.id);
    this.#checkUser(config);
    const exec = this.#registry.add(config);
    this.#tell(exec, `exec_create: ${config.command.join(' ')}`);
    sendJson(response, 201, { Id: exec.id });
  }

  /** `POST /exec/{id}/start` */
  async start({ name, apiMinor, hijack, incoming, response }: DockerRequest): Promise<void> {
    const body = parseExecStart(hijack!.body, incoming);
    const exec = this.#registry.need(name);
    const { detach, tty, size } = planExecStart(body, exec);
    const container = this.#containerOf(exec);
    requireActive(this.#room, container, 'exec');
    if (exec.state === 'running') throw conflict(`Error: Exec command ${exec.id} is already running`);
    if (exec.state === 'ended') throw conflict(`Error: Exec command ${exec.id} has already run`);
    exec.state = 'running';
    if (size) exec.size = size;
    if (detach) {
      letGo(await this.#begin(exec), exec.tty);
      response.writeHead(200, { 'content-length': 0 }).end();
      return;
    }
    const contentType = hijack!.isUpgrade ? planContentType({ tty, apiMinor }) : RAW;
    await this.#serve(exec, new Client(hijack!.open(contentType), this.#room), !tty);
  }

  /** `POST /exec/{id}/resize` */
  resize({ name, query, response }: DockerRequest): void {
    const size = readSize(query);
    const exec = this.#registry.need(name);
    if (exec.state === 'created') throw new UmiakError('BadRequest', 'exec process is not started');
    if (exec.state === 'ended') throw conflict(`exec ${exec.id} is not running`);
    exec.size = size;
    if (exec.tty) exec.session?.resize(size);
    response.writeHead(200, { 'content-length': 0 }).end();
  }

  /** `GET /exec/{id}/json` */
  inspect({ name, response }: DockerRequest): void {
    const exec = this.#registry.need(name);
    this.#containerOf(exec);
    const { id, state, exitCode, attach, tty, command, privileged, user, containerId, detachKeysText, session } = exec;
    const [entrypoint = '', ...rest] = command;
    sendJson(response, 200, {
      ID: id,
      Running: state === 'running',
      ExitCode: exitCode ?? null,
      ProcessConfig: { tty, entrypoint, arguments: rest, privileged, ...(user ? { user } : {}) },
      OpenStdin: attach.stdin,
      OpenStderr: attach.stderr,
      OpenStdout: attach.stdout,
      CanRemove: false,
      ContainerID: containerId,
      DetachKeys: detachKeysText,
      Pid: session?.pid?.() ?? 0,
    });
  }

  /** @throws BadRequest in docker's words for a user that the container does not know */
  #checkUser({ containerId, user }: ExecConfig): void {
    if (!user) return;
    try {
      this.#room.engine.checkExecUser(containerId, user);
    } catch (cause) {
      throw new UmiakError('BadRequest', sayOfSpec(messageOf(cause)) ?? messageOf(cause), { cause });
    }
  }

  #containerOf({ containerId }: Exec): DockerContainer {
    return this.#room.containers.find(containerId);
  }

  /** Runs it for a client: what can't be begun is told where it would have spoken. A client that leaves leaves it running. */
  async #serve(exec: Exec, client: Client, isFramed: boolean): Promise<void> {
    const { attach, tty, detachKeys } = exec;
    try {
      const session = await this.#begin(exec);
      const parting = await joinSession({ session, client, tty, isFramed, wanted: attach, detachKeys, closesStdin: !tty, gathers: !tty });
      if (parting === 'detached') {
        this.#tell(exec, 'exec_detach');
        say(client, 'exec attach failed: error on attach stdin: read escape sequence', isFramed);
      }
      if (parting !== 'ended') letGo(session, tty);
      // Who listens asks for its exit code next.
      else await this.#endings.get(exec);
    } catch (error) {
      say(client, messageOf(error), isFramed);
    } finally {
      client.hangUp();
    }
  }

  /** @throws why it could not be begun, in docker's words; it has ended then */
  async #begin(exec: Exec): Promise<ExecSession> {
    const { command, tty, attach, env, privileged, user, workingDir, size } = exec;
    this.#tell(exec, `exec_start: ${command.join(' ')}`);
    let session: ExecSession;
    try {
      session = await this.#room.engine.exec(exec.containerId, {
        command,
        tty,
        stdin: attach.stdin,
        env: env.map(toVariable),
        privileged,
        ...(user ? { user } : {}),
        ...(workingDir ? { workingDir } : {}),
        ...(size ? { size } : {}),
      });
    } catch (error) {
      this.#registry.end(exec, 126);
      throw error;
    }
    const { refusal } = session;
    if (refusal) {
      letGo(session, tty);
      this.#registry.end(exec, refusal.exitCode);
      throw new UmiakError('BadRequest', toDockerRefusal(refusal.message));
    }
    exec.session = session;
    if (tty && exec.size && exec.size !== size) session.resize(exec.size); // said meanwhile
    this.#endings.set(exec, this.#follow(exec, session));
    if (!attach.stdin && !tty) session.stdin?.end();
    if (!attach.stdout) session.stdout.resume();
    if (!attach.stderr) session.stderr?.resume();
    return session;
  }

  async #follow(exec: Exec, session: ExecSession): Promise<void> {
    const exitCode = await session.exitCode;
    this.#registry.end(exec, exitCode);
    this.#tell(exec, 'exec_die', { exitCode: String(exitCode) });
    await Promise.all([this.#closed(session.stdout), session.stderr && this.#closed(session.stderr)]);
  }

  /** What it left behind may hold an output open for ever: what it said itself has come by then, or waits for who listens. */
  async #closed(output: ExecSession['stdout']): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    for (const event of ['end', 'close', 'error']) output.once(event, () => resolve());
    if (output.readableEnded || output.destroyed) resolve();
    let late: Disposable | undefined;
    const wait = () => {
      late = this.#room.clock.after(LEFT_OPEN_MS, () => (output.readableLength > 0 ? wait() : output.destroy()));
    };
    wait();
    await promise;
    late?.[Symbol.dispose]();
  }

  #tell(exec: Exec, action: string, more: Record<string, string> = {}): void {
    try {
      emitOf(this.#room, this.#containerOf(exec), action, { execID: exec.id, ...more });
    } catch {
      // Its container was removed with it.
    }
  }
}

/** Words of ours, where it would have spoken. */
function say({ output }: Client, text: string, isFramed: boolean): void {
  const words = Buffer.from(`${text}\r\n`);
  if (output.writable) output.write(isFramed ? toFrame(1, words) : words);
}

/** Nobody listens any more: it goes on all the same. */
function letGo({ stdin, stdout, stderr }: ExecSession, tty: boolean): void {
  for (const stream of [stdout, stderr]) stream?.on('error', () => {}).resume();
  if (!tty) stdin?.end();
}

function toVariable(pair: string): { name: string; value: string } {
  const [name = '', ...rest] = pair.split('=');
  return { name, value: rest.join('=') };
}

/** What docker says of a program that can not be executed. Pure. */
export function toDockerRefusal(message: string): string {
  return `OCI runtime exec failed: exec failed: unable to start container process: ${message}: unknown`;
}
