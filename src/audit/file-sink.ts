import { type FileHandle, mkdir, open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { AuditRecord, AuditSink } from './record.ts';

export interface FileSinkOptions {
  path: string;
  /** Beyond this the file becomes `<path>.1`. */
  maxBytes?: number;
  /** How many former files are kept. */
  maxFiles?: number;
  /** What may wait for the disk; what comes then is lost, and counted. */
  maxWaitingBytes?: number;
  /** Told when the disk did not take records. */
  onError: (error: unknown) => void;
}

const MIB = 1 << 20;

/** Appends records as JSON lines to a file of mode 0600, in batches: what comes while one is at the disk goes with the next. */
export class FileSink implements AuditSink {
  readonly #options: Required<FileSinkOptions>;
  #file: FileHandle | undefined;
  #sizeBytes = 0;
  #lines: string[] = [];
  #waitingBytes = 0;
  #writing: Promise<void> | undefined;
  /** Records that found no room. */
  lost = 0;

  constructor(options: FileSinkOptions) {
    this.#options = { maxBytes: 100 * MIB, maxFiles: 5, maxWaitingBytes: 64 * MIB, ...options };
  }

  write(record: AuditRecord): void {
    const line = `${JSON.stringify(record)}\n`;
    if (this.#waitingBytes + line.length > this.#options.maxWaitingBytes) {
      this.lost++;
      return;
    }
    this.#lines.push(line);
    this.#waitingBytes += line.length;
    this.#writing ??= this.#drain();
  }

  async #drain(): Promise<void> {
    // What the present turn of the event loop still brings comes along.
    await new Promise(resolve => setImmediate(resolve));
    while (this.#lines.length > 0) {
      const batch = Buffer.from(this.#lines.join(''));
      const count = this.#lines.length;
      this.#lines = [];
      this.#waitingBytes = 0;
      try {
        await this.#append(batch);
      } catch (error) {
        this.lost += count;
        this.#options.onError(error);
      }
    }
    this.#writing = undefined;
  }

  async #append(batch: Buffer): Promise<void> {
    if (this.#file && this.#sizeBytes > 0 && this.#sizeBytes + batch.length > this.#options.maxBytes) await this.#rotate();
    this.#file ??= await this.#open();
    await this.#file.appendFile(batch);
    this.#sizeBytes += batch.length;
  }

  async #open(): Promise<FileHandle> {
    await mkdir(dirname(this.#options.path), { recursive: true, mode: 0o755 });
    const file = await open(this.#options.path, 'a', 0o600);
    await file.chmod(0o600);
    this.#sizeBytes = (await file.stat()).size;
    return file;
  }

  async #rotate(): Promise<void> {
    const { path, maxFiles } = this.#options;
    await this.#file?.close();
    this.#file = undefined;
    for (let i = maxFiles - 1; i >= 0; i--) {
      try {
        await rename(i === 0 ? path : `${path}.${i}`, `${path}.${i + 1}`);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#writing) await this.#writing;
    await this.#file?.close();
    this.#file = undefined;
  }
}
