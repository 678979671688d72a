import { type Clock, toTime } from '#base/clock.ts';
import { isUmiakError, messageOf } from '#base/errors.ts';
import { jsonEqual } from '#kinds/json-equal.ts';
import type { CertificateSigningRequest } from '#kinds/types.gen.ts';
import { invalid } from '#kinds/validation.ts';
import type { Authorizer, Identity } from '../identity.ts';
import { isNodeIdentity } from '../node-authorizer.ts';
import { forbidden, invalid as invalidObject } from '../status.ts';
import type { AdmissionPlugin, Write } from '../write.ts';

const CLIENT_SIGNER = 'kubernetes.io/kube-apiserver-client';
const NODE_SIGNERS = new Set(['kubernetes.io/kube-apiserver-client-kubelet', 'kubernetes.io/kubelet-serving']);

/**
 * Certificate signing requests: the server says who asks, only those with the verb `approve` on the signer decide, only those with
 * `sign` issue, nobody gets a client certificate of `system:masters` this way, and a node asks for its own only (CertificateApproval,
 * CertificateSigning, CertificateSubjectRestriction, NodeRestriction).
 */
export function certificateAdmission({ authorize, clock }: { authorize: Authorizer; clock: Clock }): AdmissionPlugin {
  const may = async (identity: Identity, verb: string, signerName: string): Promise<boolean> => {
    const names = [signerName, `${signerName.split('/', 1)[0]}/*`];
    const attributes = { identity, verb, group: 'certificates.k8s.io', version: '*', resource: 'signers', subresource: '', namespace: '' };
    for (const name of names) if ((await authorize({ ...attributes, name })).allowed) return true;
    return false;
  };

  const check = async (write: Write): Promise<void> => {
    const { served, name, identity, operation, subresource } = write;
    const object = write.object as CertificateSigningRequest;
    const old = write.old as CertificateSigningRequest | undefined;
    if (operation === 'CREATE') return await checkRequest(write, object);
    const { signerName } = old!.spec;
    const isSigned = subresource === 'status' && !jsonEqual(object.status ?? {}, old!.status ?? {});
    if (subresource === 'approval' && !(await may(identity, 'approve', signerName)))
      throw forbidden(served.resource, name, `user not permitted to approve requests with signerName "${signerName}"`);
    if (isSigned && !(await may(identity, 'sign', signerName)))
      throw forbidden(served.resource, name, `user not permitted to sign requests with signerName "${signerName}"`);
  };

  return {
    name: 'Certificates',
    mutate(write) {
      if (!isAboutRequest(write)) return;
      const object = write.object as CertificateSigningRequest;
      if (write.operation === 'CREATE') sayWhoAsks(object, write.identity);
      else if (write.subresource) stampConditions(object, write.old as CertificateSigningRequest, toTime(clock.now()));
    },
    validate(write) {
      if (isAboutRequest(write) && write.operation !== 'DELETE') return check(write);
    },
  };
}

function isAboutRequest({ served: { resource } }: Write): boolean {
  return resource.plural === 'certificatesigningrequests' && resource.group === 'certificates.k8s.io';
}

function sayWhoAsks({ spec }: CertificateSigningRequest, { name, uid, groups, extra }: Identity): void {
  spec.username = name;
  spec.groups = groups;
  if (uid) spec.uid = uid;
  else delete spec.uid;
  if (extra && Object.keys(extra).length > 0) spec.extra = extra;
  else delete spec.extra;
}

/** Conditions say when they came, which who sends them need not know. */
function stampConditions({ status }: CertificateSigningRequest, old: CertificateSigningRequest, now: string): void {
  for (const condition of status?.conditions ?? []) {
    const before = old.status?.conditions?.find(({ type }) => type === condition.type);
    condition.lastUpdateTime ??= before?.lastUpdateTime ?? now;
    condition.lastTransitionTime ??= before?.status === condition.status ? (before.lastTransitionTime ?? now) : now;
  }
}

async function checkRequest({ served, name, identity }: Write, { spec }: CertificateSigningRequest): Promise<void> {
  const { parseSigningRequest } = await import('#pki/signing-request.ts');
  try {
    const { organizations, commonName } = await parseSigningRequest(Buffer.from(spec.request, 'base64').toString());
    if (spec.signerName === CLIENT_SIGNER && organizations.includes('system:masters'))
      throw forbidden(served.resource, name, `use of ${CLIENT_SIGNER} signer with system:masters group is not allowed`);
    if (NODE_SIGNERS.has(spec.signerName) && isNodeIdentity(identity) && commonName !== identity.name)
      throw forbidden(served.resource, name, `can only create a node CSR with CN=${identity.name}`);
  } catch (error) {
    if (!isUmiakError(error, 'Invalid')) throw error;
    throw invalidObject(served.resource, name, [invalid('spec.request', spec.request, messageOf(error))]);
  }
}
