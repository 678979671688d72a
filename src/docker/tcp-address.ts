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

/**
 * Whether a request on an address without TLS may come from a page in somebody's browser, for which every page's script can reach loopback: it names
 * where the page is from, or a host that a name server of the page's made this machine's. Pure.
 */
export function mayBePages({ origin, host }: { origin?: string | undefined; host?: string | undefined }): boolean {
  // Clients of WebSockets that are no pages name the address itself.
  if (origin !== undefined && origin !== `http://${host}`) return true;
  const name = (host ?? 'localhost').replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  return isIP(name) === 0 && !/^(.*\.)?localhost$/i.test(name);
}

/** Pure. */
export function isLoopbackAddress(host: string): boolean {
  return host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
