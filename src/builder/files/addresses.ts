import type { IncomingMessage } from 'node:http';
import { UmiakError } from '#base/errors.ts';
import { getOnce } from '#images/http-client.ts';
import { fromText } from '#images/tar-format.ts';
import type { ContextTree } from './context-tree.ts';

const TIMEOUT_MS = 600_000;

/** Fetches a file into a tree, under the last part of its address. @throws Invalid in docker's words */
export async function fetchInto(
  tree: ContextTree,
  address: string,
  { checksum, signal }: { checksum?: string | undefined; signal: AbortSignal },
): Promise<string> {
  const response = await get(address, signal);
  const name = nameOf(response.url ?? address);
  const modified = Date.parse(response.headers['last-modified'] ?? '');
  const mtime = Number.isNaN(modified) ? 0 : Math.floor(modified / 1000);
  const hash = await tree.addFile(fromText(name), response, { mtime, mode: 0o600 });
  if (checksum !== undefined && `sha256:${hash}` !== checksum)
    throw new UmiakError('Invalid', `ADD failed: digest mismatch sha256:${hash}: ${checksum}`);
  return name;
}

async function get(address: string, signal: AbortSignal): Promise<IncomingMessage> {
  let response: IncomingMessage;
  try {
    response = await getOnce(new URL(address), { signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]) });
  } catch (cause) {
    throw new UmiakError('Invalid', `ADD failed: Get ${JSON.stringify(address)}: ${reasonOf(cause)}`, { cause });
  }
  const { statusCode = 0, statusMessage } = response;
  if (statusCode >= 200 && statusCode < 300) return response;
  response.destroy();
  throw new UmiakError('Invalid', `ADD failed: failed to GET ${address} with status ${statusCode} ${statusMessage}`);
}

function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error ? cause.message : message;
}

function nameOf(address: string): string {
  const last = new URL(address).pathname.split('/').filter(Boolean).at(-1) ?? '';
  const name = decodePercent(last);
  if (name === '' || name === '.' || name === '..' || name.includes('/'))
    throw new UmiakError('Invalid', `ADD failed: cannot determine filename for url: ${address}`);
  return name;
}

/** What is not well encoded stays as it is. */
function decodePercent(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The bytes of an address as they come, for a context. @throws Invalid */
export async function streamOf(address: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  return await get(address, signal);
}
