import type { IncomingMessage } from 'node:http';
import { messageOf, UmiakError } from '#base/errors.ts';
import { composeImage } from '#images/compose.ts';
import { decompressed } from '#images/decompress.ts';
import { unpackedByProgram } from '#images/decompress-program.ts';
import { getOnce } from '#images/http-client.ts';
import { hostPlatform, type ImageConfig, toFamiliarName } from '#images/index.ts';
import { mediaTypes } from '#images/oci.ts';
import { DiskGuard } from '#images/unpack-limits.ts';
import { toDockerError } from '../docker-error.ts';
import { tellImage } from '../images/image-events.ts';
import { parsePlatformQuery } from '../images/image-platform.ts';
import { type DockerRequest, JsonLines } from '../request.ts';
import { applyInstructions } from './apply-instructions.ts';
import { namesOf } from './image-names.ts';

/** `docker import`: an image of one layer of a root file system as a tar archive, from the body (`-`) or fetched. */
export async function importImage({ context, query, incoming, response, signal }: DockerRequest): Promise<void> {
  const { images, clock } = context;
  const from = query.get('fromSrc') ?? '';
  const names = namesOf(query);
  const platform = parsePlatformQuery(query.get('platform')) ?? hostPlatform();
  if (platform.os !== hostPlatform().os) throw new UmiakError('BadRequest', `operating system is not supported: ${platform.os}`);
  const config = applyInstructions({}, query.getAll('changes'));
  const lines = new JsonLines(response);
  try {
    const source = from === '-' ? incoming.iterator({ destroyOnReturn: false }) : await download(from, lines, signal);
    using lease = images.content.lease();
    const layer = await images.content.write(
      fitting(decompressed(unpackedByProgram(source, 'the archive', signal), 'the archive'), images.content.directory),
      {
        lease,
        what: 'the archive',
        signal,
      },
    );
    const created = new Date(clock.now()).toISOString();
    const document: ImageConfig = {
      created,
      ...platform,
      config,
      rootfs: { type: 'layers', diff_ids: [layer.digest] },
      history: [{ created, comment: query.get('message') || `Imported from ${from}` }],
    };
    const layers = [{ mediaType: mediaTypes.ociLayer, ...layer }];
    const [record] = await images.adopt([await composeImage(images.content, { config: document, layers, names, lease })]);
    const { id } = record!;
    tellImage(context, 'import', id, { name: names[0] === undefined ? id : toFamiliarName(names[0]) });
    for (const name of names) tellImage(context, 'tag', id, { name });
    lines.write({ status: id });
    lines.end();
  } catch (error) {
    if (!lines.isBegun || signal.aborted) throw error;
    lines.fail(toDockerError(error).message);
  }
}

/** A small archive may hold more than the disk. @throws InternalError before what is kept free is used up */
async function* fitting(source: AsyncIterable<Uint8Array>, directory: string): AsyncGenerator<Uint8Array> {
  const guard = new DiskGuard(directory, { entries: Number.POSITIVE_INFINITY });
  for await (const chunk of source) {
    const refusal = guard.refusalOf(chunk.byteLength);
    if (refusal !== undefined) throw new UmiakError('InternalError', `the archive is refused: ${refusal}`);
    yield chunk;
  }
}

/** @throws BadRequest for what is no address, and for what does not answer with an archive */
async function download(from: string, lines: JsonLines, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  const text = /^[a-z]+:\/\//i.test(from) ? from : `http://${from}`;
  if (!URL.canParse(text) || !/^https?:/.test(text))
    throw new UmiakError('BadRequest', `${from.slice(0, 300)} is no address to import from`);
  let answer: IncomingMessage;
  try {
    answer = await getOnce(new URL(text), { signal });
  } catch (error) {
    throw new UmiakError('BadRequest', `${from.slice(0, 300)} can't be fetched: ${messageOf(error)}`);
  }
  const { statusCode = 0, statusMessage } = answer;
  if (statusCode < 200 || statusCode >= 300) {
    answer.destroy();
    throw new UmiakError('BadRequest', `${from.slice(0, 300)} answers with ${statusCode} ${statusMessage}`);
  }
  lines.write({ status: `Downloading from ${text}` });
  return answer;
}
