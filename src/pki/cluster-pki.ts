import type { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { CertificateAuthority, type CertificatePair } from './ca.ts';
import { isClientCertificate, subjectOf } from './certificate-request.ts';
import { makeSecretDirectory } from './secret-files.ts';
import { ensureTokenKey, TokenSigner } from './tokens.ts';

export interface ClusterPkiOptions {
  /** e.g. `/var/lib/umiak/pki`; gets mode 0700. */
  directory: string;
  clock: Clock;
  /** By what else than localhost and the `kubernetes` Service's names the API server is reached: service IP, bridge gateway, host name, node addresses. */
  hosts?: string[];
  issuer?: string;
}

/** What the API server is called towards nodes. */
const KUBELET_CLIENT = { commonName: 'kube-apiserver-kubelet-client', organization: 'kubeadm:cluster-admins' };

/** True for the certificate of the API server's own client: the only one a node's HTTPS API lets in, as every user's comes from the same authority. */
export function isApiServerClient(certificate: X509Certificate | undefined): boolean {
  if (!certificate || !isClientCertificate(certificate)) return false;
  const { CN, O } = subjectOf(certificate);
  return CN === KUBELET_CLIENT.commonName && O.includes(KUBELET_CLIENT.organization);
}

/** Names every API server's certificate bears. */
const API_SERVER_HOSTS = [
  'localhost',
  '127.0.0.1',
  '::1',
  'kubernetes',
  'kubernetes.default',
  'kubernetes.default.svc',
  'kubernetes.default.svc.cluster.local',
];

/** All keys and certificates of one cluster, under kubeadm's file names. */
export class ClusterPki {
  readonly authority: CertificateAuthority;
  readonly tokens: TokenSigner;
  /** The API server's serving pair. */
  readonly apiServer: CertificatePair;
  /** What the API server shows to nodes. */
  readonly kubeletClient: CertificatePair;
  /** `kubernetes-admin` of group `system:masters`. */
  readonly admin: CertificatePair;

  private constructor(parts: Pick<ClusterPki, 'authority' | 'tokens' | 'apiServer' | 'kubeletClient' | 'admin'>) {
    this.authority = parts.authority;
    this.tokens = parts.tokens;
    this.apiServer = parts.apiServer;
    this.kubeletClient = parts.kubeletClient;
    this.admin = parts.admin;
  }

  /** Loads what is there, makes what is missing, and issues anew what changed or nears its end. Call it again to renew. */
  static async open({ directory, clock, hosts = [], issuer }: ClusterPkiOptions): Promise<ClusterPki> {
    await makeSecretDirectory(directory);
    const authority = await CertificateAuthority.open({ directory, clock });
    const [apiServer, kubeletClient, admin, key] = await Promise.all([
      authority.ensure('apiserver', { commonName: 'kube-apiserver', hosts: [...API_SERVER_HOSTS, ...hosts], usages: ['serverAuth'] }),
      authority.ensure('apiserver-kubelet-client', {
        commonName: KUBELET_CLIENT.commonName,
        organizations: [KUBELET_CLIENT.organization],
        usages: ['clientAuth'],
      }),
      authority.ensure('admin', { commonName: 'kubernetes-admin', organizations: ['system:masters'], usages: ['clientAuth'] }),
      ensureTokenKey(join(directory, 'sa.key')),
    ]);
    const tokens = new TokenSigner({ key, clock, ...(issuer !== undefined && { issuer }) });
    return new ClusterPki({ authority, tokens, apiServer, kubeletClient, admin });
  }

  /** A component's client pair, e.g. `system:kube-scheduler`. */
  client(commonName: string, organizations: string[] = []): Promise<CertificatePair> {
    return this.authority.ensure(`client-${encodeURIComponent(commonName)}`, { commonName, organizations, usages: ['clientAuth'] });
  }

  /** What a node needs: the pair it shows to the API server, and the pair its own HTTPS API serves with. */
  async node(name: string, hosts: string[]): Promise<{ client: CertificatePair; server: CertificatePair }> {
    const subject = { commonName: `system:node:${name}`, organizations: ['system:nodes'] };
    const [client, server] = await Promise.all([
      this.authority.ensure(`node-${encodeURIComponent(name)}-client`, { ...subject, usages: ['clientAuth'] }),
      this.authority.ensure(`node-${encodeURIComponent(name)}-server`, { ...subject, hosts: [name, ...hosts], usages: ['serverAuth'] }),
    ]);
    return { client, server };
  }
}
