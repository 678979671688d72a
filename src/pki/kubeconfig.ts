import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { CertificatePair } from './ca.ts';
import { readIfPresent, writeSecretFile } from './secret-files.ts';

export interface KubeconfigOptions {
  /** `https://127.0.0.1:6443` */
  server: string;
  /** The authority's certificate, PEM. */
  authority: string;
  user: { name: string } & (CertificatePair | { token: string });
  /** Name of the cluster, and with the user's of the context. */
  cluster?: string;
  namespace?: string;
}

/** A kubeconfig with one context and everything embedded. */
export function toKubeconfig({ server, authority, user, cluster = 'umiak', namespace }: KubeconfigOptions): string {
  const context = `${user.name}@${cluster}`;
  const credentials =
    'token' in user
      ? [`    token: ${quote(user.token)}`]
      : [`    client-certificate-data: ${base64(user.certificate)}`, `    client-key-data: ${base64(user.key)}`];
  return `${[
    'apiVersion: v1',
    'kind: Config',
    'clusters:',
    `- name: ${quote(cluster)}`,
    '  cluster:',
    `    server: ${quote(server)}`,
    `    certificate-authority-data: ${base64(authority)}`,
    'users:',
    `- name: ${quote(user.name)}`,
    '  user:',
    ...credentials,
    'contexts:',
    `- name: ${quote(context)}`,
    '  context:',
    `    cluster: ${quote(cluster)}`,
    `    user: ${quote(user.name)}`,
    ...(namespace ? [`    namespace: ${quote(namespace)}`] : []),
    `current-context: ${quote(context)}`,
    'preferences: {}',
  ].join('\n')}\n`;
}

/** Writes the kubeconfig with mode 0600, if it differs from what is there. */
export async function writeKubeconfig(path: string, options: KubeconfigOptions): Promise<void> {
  const text = toKubeconfig(options);
  if ((await readIfPresent(path)) === text) return;
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeSecretFile(path, text);
}

/** Every JSON string is a YAML string. */
function quote(text: string): string {
  return JSON.stringify(text);
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
