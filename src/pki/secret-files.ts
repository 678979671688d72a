import { randomBytes } from 'node:crypto';
import { chmod, link, mkdir, open, readFile, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Makes `directory` with mode 0700, and gives it that mode if it was there with another. */
export async function makeSecretDirectory(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await chmod(directory, 0o700);
}

/** Puts `content` at `path` with mode 0600: after a crash there is the old file or the new one, never a part. */
export async function writeSecretFile(path: string, content: string): Promise<void> {
  const draft = await writeDraft(path, content);
  await rename(draft, path);
  await syncDirectory(dirname(path));
}

/** Like `writeSecretFile`, but keeps what is already there. Returns what the file holds then; of several writers one wins. */
export async function createSecretFile(path: string, content: string): Promise<string> {
  const draft = await writeDraft(path, content);
  try {
    await link(draft, path);
    await syncDirectory(dirname(path));
    return content;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return await readFile(path, 'utf8');
  } finally {
    await unlink(draft);
  }
}

/** The file's text, or undefined if there is none. */
export async function readIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function writeDraft(path: string, content: string): Promise<string> {
  const draft = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  await using file = await open(draft, 'wx', 0o600);
  await file.writeFile(content);
  await file.sync();
  return draft;
}

async function syncDirectory(directory: string): Promise<void> {
  await using handle = await open(directory, 'r');
  await handle.sync();
}
