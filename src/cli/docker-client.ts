import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { UmiakError } from '#base/errors.ts';
import { reasonOf } from '#base/reason-codes.ts';
import { request } from '#wire/http.ts';

/** A line of docker's progress streams. */
export interface DockerLine {
  status?: string;
  stream?: string;
  id?: string;
  progressDetail?: { current?: number; total?: number };
  error?: string;
  /** Of a push's end. */
  aux?: { Tag: string; Digest: string; Size: number };
}

/** The end of `umiak image verify`'s stream, and its lines before. */
export interface VerifyLine {
  error?: string;
  checked: number;
  of?: number;
  sizeBytes?: number;
  corrupt?: string[];
  damaged?: { name: string; missing: string[] }[];
}

/** An entry of docker's list of images. */
export interface DockerImage {
  Id: string;
  RepoTags: string[];
  RepoDigests: string[];
  Created: number;
  Size: number;
}

/** Speaks the Docker Engine API over a unix socket. Failures are `UmiakError` with the daemon's sentence. */
export class DockerClient {
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  async json<T>(method: string, path: string, query: Record<string, string> = {}): Promise<T> {
    const response = await this.#call(method, path, query);
    return JSON.parse(await textOf(response)) as T;
  }

  /** For answers without a body. */
  async done(method: string, path: string, query: Record<string, string> = {}): Promise<void> {
    await textOf(await this.#call(method, path, query));
  }

  /** The body of the answer as it comes. */
  stream(path: string, query: Record<string, string>): Promise<IncomingMessage> {
    return this.#call('GET', path, query);
  }

  /** A call whose answer is a stream of JSON lines. @throws what its last line says */
  async *lines<Line extends { error?: string } = DockerLine>(
    path: string,
    query: Record<string, string>,
    { body, headers = {} }: Sending = {},
  ): AsyncGenerator<Line> {
    const response = await this.#call('POST', path, query, { headers, ...(body ? { body } : {}) });
    for await (const line of createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY })) {
      if (line.trim() === '') continue;
      const parsed = JSON.parse(line) as Line;
      if (parsed.error !== undefined) throw new UmiakError('InternalError', parsed.error);
      yield parsed;
    }
  }

  async #call(method: string, path: string, query: Record<string, string>, { body, headers = {} }: Sending = {}): Promise<IncomingMessage> {
    const text = new URLSearchParams(query).toString();
    const sent = request({ socketPath: this.#socketPath, method, path: text ? `${path}?${text}` : path, headers });
    const answered = once(sent, 'response') as Promise<[IncomingMessage]>;
    // The answer may come before all of the body went, so sending is not waited for; its failure shows only if there is no answer.
    const sending = body ? pipeline(body, sent) : Promise.resolve(sent.end());
    const failed = sending.then(
      () => new Promise<never>(() => {}),
      async error => {
        await Promise.race([answered.catch(() => {}), new Promise(resolve => setTimeout(resolve, 1000).unref())]);
        throw error;
      },
    );
    try {
      const [response] = await Promise.race([answered, failed]);
      if ((response.statusCode ?? 500) < 400) return response;
      throw new UmiakError(reasonOf(response.statusCode ?? 500), messageIn(await textOf(response)));
    } catch (error) {
      throw error instanceof UmiakError ? error : toUnreachable(error, this.#socketPath);
    }
  }
}

interface Sending {
  body?: Readable;
  headers?: Record<string, string>;
}

async function textOf(response: IncomingMessage): Promise<string> {
  return Buffer.concat(await response.toArray()).toString();
}

function messageIn(body: string): string {
  try {
    return (JSON.parse(body) as { message?: string }).message ?? body;
  } catch {
    return body.trim() || 'the daemon answered without a reason';
  }
}

function toUnreachable(cause: unknown, socketPath: string): UmiakError {
  const { code } = cause as NodeJS.ErrnoException;
  if (code === 'EACCES')
    return new UmiakError('Forbidden', `${socketPath} may not be opened by this user`, { cause, hint: 'Run umiak as root.' });
  return new UmiakError('ServiceUnavailable', `nobody answers at ${socketPath}`, {
    cause,
    hint: 'Is umiak running? `umiak status` tells, `umiak up` starts it.',
  });
}
