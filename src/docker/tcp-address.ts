import { isIP } from 'node:net';
import { UmiakError } from '#base/errors.ts';

/** Where docker's clients may come besides the instance's own socket. */
export interface DockerListeners {
  /** A further socket: `/var/run/docker.sock`. */
  socketPath?: string | undefined;
  tcp?: DockerTcp | undefined;
}

/** An address that whoever reaches it is the machine's root over: by certificates, or on loopback by who asked for it so. */
export interface DockerTcp {
  host: string;
  port: number;
  /** PEM files; clients must have a certificate of `clientCa`. Absent only on loopback. */
  tls?: { certificate: string; key: string; clientCa: string } | undefined;
}

/** Pure. @throws Invalid */
export function checkTcp({ host, tls }: DockerTcp): void {
  if (tls || isLoopbackAddress(host)) return;
  throw new UmiakError('Invalid', `docker's API on ${host} without TLS would make whoever reaches it root`, {
    hint: 'Give --docker-tls-cert, --docker-tls-key and --docker-tls-client-ca, or take a loopback address with --docker-plain loopback.',
  });
}

/** Pure. */
export function isLoopbackAddress(host: string): boolean {
  return host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
