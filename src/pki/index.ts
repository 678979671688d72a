/**
 * Who may prove to be whom: the cluster's certificate authority, the certificates it issues, service-account tokens, kubeconfigs.
 *
 * - One CA (ECDSA P-256), made once. It signs leaf certificates directly; there are no intermediates.
 * - Every key file has mode 0600 in a directory of mode 0700 and is written whole or not at all.
 * - A certificate on disk is used as long as it says what is asked for and has a third of its life left; else it is issued anew.
 *   Only issuing loads `@peculiar/x509`; a start that finds everything in order parses with `node:crypto` alone.
 * - Tokens are Kubernetes' bound service-account tokens, ES256. Whether the objects they are bound to still live is the caller's question.
 *
 * It does not revoke certificates: a client certificate is good until it expires, as in Kubernetes.
 */
export * from './ca.ts';
export * from './certificate-keeper.ts';
export { isClientCertificate, subjectOf } from './certificate-request.ts';
export * from './cluster-pki.ts';
export * from './kubeconfig.ts';
export * from './signing-request.ts';
export * from './tokens.ts';
