import { type ImageReference, type PushEvent, parseReference, toRepositoryName } from '#images/index.ts';
import { bar, line, type ProgressLine } from './pull-progress.ts';

/** A line of a push's end, for clients that want the digest. */
export interface PushedLine {
  progressDetail: object;
  aux: { Tag: string; Digest: string; Size: number };
}

/** Turns what happens in a push into the lines that `docker push` draws. */
export class PushProgress {
  readonly #layers = new Set<string>();

  /** The first line. */
  begin(reference: ImageReference): ProgressLine {
    return { status: `The push refers to repository [${toRepositoryName(reference)}]` };
  }

  /** The lines for an event. The configuration, which is no layer to docker, has none. */
  lines(event: PushEvent): (ProgressLine | PushedLine)[] {
    if (event.status === 'preparing') {
      for (const { digest } of event.layers) this.#layers.add(digest);
      return event.layers.map(({ digest }) => line(digest, 'Preparing'));
    }
    const { digest } = event;
    if (event.status === 'pushed') {
      const tag = parseReference(event.name).tag ?? '';
      const { sizeBytes } = event;
      return [
        { status: `${tag}: digest: ${digest} size: ${sizeBytes}` },
        { progressDetail: {}, aux: { Tag: tag, Digest: digest, Size: sizeBytes } },
      ];
    }
    if (!this.#layers.has(digest)) return [];
    if (event.status === 'uploading') {
      const { currentBytes: current, totalBytes: total } = event;
      return [{ ...line(digest, 'Pushing'), progressDetail: { current, total }, progress: bar(current, total) }];
    }
    if (event.status === 'mounted') return [line(digest, `Mounted from ${event.from}`)];
    return [line(digest, event.status === 'exists' ? 'Layer already exists' : 'Pushed')];
  }
}
