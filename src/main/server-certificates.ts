import type { DirectNodeConnector } from '#apiserver/direct-node-connector.ts';
import type { ApiServer } from '#apiserver/server.ts';
import type { Clock, Log } from '#base/index.ts';
import { CertificateKeeper, type ClusterPki, writeKubeconfig } from '#pki/index.ts';
import { type Config, joinAddress, pathsOf } from './config.ts';

/** Writes the kubeconfig of the cluster's administrator. */
export async function writeAdminKubeconfig(config: Config, server: Pick<ApiServer, 'listeners'>, pki: ClusterPki): Promise<void> {
  const { host, port } = { host: config.apiAddress.host, port: server.listeners[0]?.port ?? config.apiAddress.port };
  const user = { name: 'kubernetes-admin', ...pki.admin };
  const authority = pki.authority.certificate;
  await writeKubeconfig(pathsOf(config).kubeconfig, { server: `https://${joinAddress({ host, port })}`, authority, user });
}

export interface ServerCertificatesOptions {
  config: Config;
  pki: ClusterPki;
  /** Opens the cluster's certificates again, which issues anew those that are due. */
  reopen: () => Promise<ClusterPki>;
  server: Pick<ApiServer, 'setCertificate' | 'listeners'>;
  connector: Pick<DirectNodeConnector, 'setClientCertificate'>;
  clock: Clock;
  log: Log;
}

/** Renews what the server serves with, what it shows to nodes, and the administrator's kubeconfig, before they end. */
export function keepServerCertificates({
  config,
  pki,
  reopen,
  server,
  connector,
  clock,
  log,
}: ServerCertificatesOptions): CertificateKeeper {
  const pairsOf = ({ apiServer, kubeletClient, admin }: ClusterPki) => [apiServer, kubeletClient, admin];
  return new CertificateKeeper({
    clock,
    log,
    pairs: pairsOf(pki),
    async renew() {
      const fresh = await reopen();
      server.setCertificate({ cert: fresh.apiServer.certificate, key: fresh.apiServer.key });
      connector.setClientCertificate(fresh.kubeletClient);
      await writeAdminKubeconfig(config, server, fresh);
      log.info('certificates were renewed');
      return pairsOf(fresh);
    },
  });
}
