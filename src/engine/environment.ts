import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { ContainerConfig } from './engine.ts';

export type Variables = NonNullable<ContainerConfig['env']>;

/** Characters of names and values. A namespace of a thousand Services gives each of its containers a quarter of a million. */
const MOST_IN_RECORD = 4 << 10;

/** Whether so many variables are for a file of their own: a record is written at each step of a container's life and held in memory. Pure. */
export function isLargeEnvironment(variables: Variables = []): boolean {
  return variables.reduce((size, { name, value }) => size + name.length + value.length, 0) > MOST_IN_RECORD;
}

/** Written once into the container's directory, which need not be there, before the record that goes without. */
export function writeEnvironment(directory: string, variables: Variables): void {
  mkdirSync(directory, { recursive: true, mode: 0o711 });
  writeFileSync(fileIn(directory), JSON.stringify(variables), { mode: 0o600 });
}

/** None where none were written. */
export function readEnvironment(directory: string): Variables {
  const file = fileIn(directory);
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Variables) : [];
}

/** Of a container's directory, what must outlive a loss of power beside its record. */
export function environmentFiles(directory: string): string[] {
  const file = fileIn(directory);
  return existsSync(file) ? [file] : [];
}

function fileIn(directory: string): string {
  return `${directory}/environment.json`;
}
