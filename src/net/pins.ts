import { existsSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { type NamespaceKind, unpinNamespace } from '#linux/namespaces.ts';

/** Where an instance's namespaces are pinned: one directory, one file a namespace. */
export function pinDirectory(runDir: string): string {
  return join(runDir, 'netns');
}

/** `<dir>/<id>.<kind>` */
export function pinPath(pinDir: string, id: string, kind: NamespaceKind | 'user'): string {
  return join(pinDir, `${id}.${kind}`);
}

/** The id in a pin's file name. */
export function pinId(file: string): string {
  return file.slice(0, file.lastIndexOf('.'));
}

/** Removes all pins of an instance; the namespaces end with their last processes. */
export function removePins(runDir: string): void {
  const pinDir = pinDirectory(runDir);
  if (!existsSync(pinDir)) return;
  for (const file of readdirSync(pinDir)) unpinNamespace(join(pinDir, file));
  rmdirSync(pinDir);
}
