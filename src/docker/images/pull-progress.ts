import type { ImageReference, PullEvent } from '#images/index.ts';

/** One line of docker's progress stream (`jsonmessage`). */
export interface ProgressLine {
  status: string;
  id?: string;
  progressDetail?: { current?: number; total?: number };
  progress?: string;
}

/** Turns what happens in a pull into the lines that `docker pull` draws. */
export class PullProgress {
  readonly #layers = new Map<string, number>();
  readonly #finished = new Set<string>();

  /** The first line. */
  begin({ repository, tag, digest }: ImageReference): ProgressLine {
    return { status: `Pulling from ${repository}`, id: digest ?? tag ?? 'latest' };
  }

  /** The lines for an event. The configuration, which is no layer to docker, has none. */
  lines(event: PullEvent): ProgressLine[] {
    if (event.status === 'resolved') {
      for (const { digest, sizeBytes } of event.layers) this.#layers.set(digest, sizeBytes);
      return event.layers.map(({ digest }) => line(digest, 'Pulling fs layer'));
    }
    const { digest } = event;
    const total = this.#layers.get(digest);
    if (total === undefined || this.#finished.has(digest)) return [];
    if (event.status === 'downloading') {
      const { currentBytes: current, totalBytes } = event;
      return [{ ...line(digest, 'Downloading'), progressDetail: { current, total: totalBytes }, progress: bar(current, totalBytes) }];
    }
    if (event.status === 'downloaded') return [line(digest, 'Download complete')];
    if (event.status === 'exists') return [line(digest, 'Already exists')];
    if (event.status === 'unpacking')
      return [{ ...line(digest, 'Extracting'), progressDetail: { current: total, total }, progress: bar(total, total) }];
    this.#finished.add(digest);
    return [line(digest, 'Pull complete')];
  }

  /** The last lines. */
  end(targetDigest: string, familiarName: string, isNew: boolean): ProgressLine[] {
    return [
      { status: `Digest: ${targetDigest}` },
      { status: `Status: ${isNew ? 'Downloaded newer image' : 'Image is up to date'} for ${familiarName}` },
    ];
  }
}

/** A line about one layer. */
export function line(digest: string, status: string): ProgressLine {
  return { status, progressDetail: {}, id: digest.slice('sha256:'.length, 'sha256:'.length + 12) };
}

/** `[=====>     ]  1.2MB/3.4MB`, as old clients print it as it is. */
export function bar(current: number, total: number): string {
  const done = total > 0 ? Math.min(50, Math.floor((current / total) * 50)) : 0;
  const drawn = done >= 50 ? '='.repeat(50) : `${'='.repeat(done)}>`.padEnd(50);
  return `[${drawn}]  ${inUnits(current)}/${inUnits(total)}`;
}

/** Bytes as docker prints them, powers of 1000 and four digits. */
export function inUnits(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let at = 0;
  while (value >= 1000 && at < units.length - 1) {
    value /= 1000;
    at++;
  }
  return `${Number(value.toPrecision(4))}${units[at]}`;
}
