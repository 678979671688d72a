import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Log, messageOf } from '#base/index.ts';
import type { Engine } from '#engine/index.ts';
import type { DockerContainer } from '../../rooms.ts';
import { findLogAttributes } from '../log-attributes.ts';
import { renderTag } from '../log-tag.ts';
import { type LogEntry, readEntries } from './entries.ts';
import { toJournalMessage } from './journal-message.ts';
import { advance, type LogPosition, leavingOut, readPosition, writePosition } from './position.ts';
import { toSyslogMessage } from './syslog-message.ts';
import { parseFacility, parseSyslogAddress } from './syslog-options.ts';
import { openDatagrams, openTransport, type Transport } from './transport.ts';

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 30_000;
/** Entries between two notes of how far it has come. */
const BATCH = 512;
const DEFAULT_TAG = '{{.ID}}';

export interface ForwarderOptions {
  container: DockerContainer;
  engine: Pick<Engine, 'logs'>;
  journalSocket: string;
  log: Log;
}

/** How a driver sends a line on. */
interface Driver {
  open(): Promise<Transport>;
  toMessage(entry: LogEntry): Buffer;
}

/**
 * Sends one container's log on, from where it had come to the run's end. How far it has come is noted beside the log: whenever the agent is
 * killed every line is sent, and some few twice. A receiver that is not there is tried again; the log waits meanwhile, as long as it is kept.
 */
export class Forwarder implements AsyncDisposable {
  /** Resolves when the run has ended and all is sent, or by disposal. */
  readonly done: Promise<void>;
  readonly #options: ForwarderOptions;
  readonly #stop = new AbortController();
  readonly #hurry = new AbortController();
  #transport: Transport | undefined;

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.done = this.#run();
  }

  async #run(): Promise<void> {
    const { container, engine, log } = this.#options;
    const file = `${dirname(container.engine.logPath ?? '')}/forwarded.json`;
    let position = readPosition(file);
    const isSent = leavingOut(position);
    const frames = engine.logs(container.id, {
      frames: 'docker',
      timestamps: true,
      follow: true,
      signal: this.#stop.signal,
      ...(position ? { since: position.time, sinceMs: Date.parse(position.time) } : {}),
    });
    try {
      const driver = await driverOf(this.#options);
      for await (const all of readEntries(frames)) {
        const entries = all.filter(entry => !isSent(entry));
        for (let at = 0; at < entries.length; at += BATCH) {
          const batch = entries.slice(at, at + BATCH);
          await this.#send(
            driver,
            batch.map(entry => driver.toMessage(entry)),
          );
          const before = position;
          position = batch.reduce<LogPosition | undefined>(advance, position);
          if (position && position !== before) note(file, position);
        }
      }
    } catch (error) {
      if (!this.#stop.signal.aborted) log.warn('a log could not be sent on', { container: container.id, error: messageOf(error) });
    } finally {
      this.#transport?.[Symbol.dispose]();
    }
  }

  async #send(driver: Driver, messages: Buffer[]): Promise<void> {
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS))
      try {
        this.#transport ??= await driver.open();
        await this.#transport.send(messages);
        return;
      } catch (error) {
        this.#transport?.[Symbol.dispose]();
        this.#transport = undefined;
        if (this.#hurry.signal.aborted) throw error;
        if (pause === FIRST_PAUSE_MS)
          this.#options.log.warn('a log waits for its receiver', { container: this.#options.container.id, error: messageOf(error) });
        await sleep(pause, undefined, { signal: AbortSignal.any([this.#stop.signal, this.#hurry.signal]), ref: false });
      }
  }

  /** The log is gone: what can't be sent at once never will be. */
  hurry(): void {
    this.#hurry.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.done;
  }
}

/** The log may have been removed with its container: then nobody needs to know any more. */
function note(file: string, position: LogPosition): void {
  try {
    writePosition(file, position);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

async function driverOf({ container, journalSocket }: ForwarderOptions): Promise<Driver> {
  const { Type, Config } = container.data.hostConfig.LogConfig;
  const tag = renderTag(Config.tag || DEFAULT_TAG, container);
  if (Type === 'journald') {
    const fields = await journalFields(container, tag);
    return { open: async () => openDatagrams(journalSocket), toMessage: entry => toJournalMessage(entry, fields) };
  }
  const form = {
    format: Config['syslog-format'] ?? '',
    facility: parseFacility(Config['syslog-facility']),
    tag,
    hostname: hostname(),
    pid: process.pid,
  };
  const address = parseSyslogAddress(Config['syslog-address']);
  return { open: () => openTransport(address), toMessage: entry => toSyslogMessage(entry, form) };
}

async function journalFields(container: DockerContainer, tag: string): Promise<Map<string, string>> {
  const { id, name, data } = container;
  const attributes = await findLogAttributes(container);
  attributes.delete('tag');
  return new Map([
    ['CONTAINER_ID', id.slice(0, 12)],
    ['CONTAINER_ID_FULL', id],
    ['CONTAINER_NAME', name],
    ['CONTAINER_TAG', tag],
    ['IMAGE_NAME', data.image],
    ['SYSLOG_IDENTIFIER', tag],
    ...attributes,
  ]);
}
