import { toTime } from '#base/clock.ts';
import { isUmiakError, messageOf } from '#base/errors.ts';
import { type Controller, defineController, done, type ReconcileClient } from '#client/index.ts';
import { SubjectAccessReview } from '#kinds/authorization.ts';
import { CertificateSigningRequest } from '#kinds/certificates.ts';
import type { Draft } from '#kinds/kind.ts';
import { ignoreAbsent } from './absence.ts';
import { planApproval, planCleaning, planSigning, type RequestedNames } from './certificates-plan.ts';

/** The cluster's authority, as far as signing needs it. */
export interface CertificateSigner {
  /** @throws `Invalid` */
  read(request: string): Promise<RequestedNames>;
  /** Gives the certificate, PEM. */
  sign(request: string, options: { usages: readonly string[]; lifeMs: number }): Promise<string>;
}

const KIND: { apiVersion: string; kind: string } = { apiVersion: 'authorization.k8s.io/v1', kind: 'SubjectAccessReview' };

/** Answers certificate signing requests of the `kubernetes.io/…` signers: approves nodes' own, signs what was approved, clears away what is over. */
export function certificateController(signer: CertificateSigner): Controller<CertificateSigningRequest> {
  return defineController<CertificateSigningRequest>({
    name: 'certificate-controller',
    watches: CertificateSigningRequest,
    async reconcile(key, { client, clock }) {
      const csr = await client.get(CertificateSigningRequest, key);
      if (!csr || csr.metadata.deletionTimestamp) return done;
      const cleaning = planCleaning(csr, clock.now());
      if (cleaning.isOver) {
        await ignoreAbsent(client.delete(CertificateSigningRequest, key, { preconditions: { uid: csr.metadata.uid ?? '' } }));
        return done;
      }
      await advance(csr, { client, signer, time: toTime(clock.now()) });
      return { againInMs: cleaning.againInMs };
    },
  });
}

interface Advance {
  client: ReconcileClient;
  signer: CertificateSigner;
  time: string;
}

async function advance(csr: CertificateSigningRequest, { client, signer, time }: Advance): Promise<void> {
  if (csr.status?.certificate) return;
  const pem = Buffer.from(csr.spec.request, 'base64').toString();
  let names: RequestedNames;
  try {
    names = await signer.read(pem);
  } catch (error) {
    if (!isUmiakError(error, 'Invalid')) throw error;
    return await fail(csr, messageOf(error), client, time);
  }
  const approval = planApproval(csr, names);
  for (const { subresource, message } of approval ?? [])
    if (await isAllowed(csr, subresource, client)) return await approve(csr, message, client, time);
  const signing = planSigning(csr, names);
  if (!signing) return;
  if ('failure' in signing) return await fail(csr, signing.failure, client, time);
  const certificate = Buffer.from(await signer.sign(pem, { usages: csr.spec.usages ?? [], lifeMs: signing.lifeMs })).toString('base64');
  await ignoreAbsent(client.updateStatus(CertificateSigningRequest, { ...csr, status: { ...csr.status, certificate } }));
}

/** Whether who asks may have such a certificate without being looked at. */
async function isAllowed({ spec }: CertificateSigningRequest, subresource: string, client: ReconcileClient): Promise<boolean> {
  const resourceAttributes = {
    group: 'certificates.k8s.io',
    resource: 'certificatesigningrequests',
    verb: 'create',
    subresource,
    version: '*',
  };
  const { username = '', groups = [], uid, extra } = spec;
  const asked = { user: username, groups, ...(uid && { uid }), ...(extra && { extra }), resourceAttributes };
  const review = await client.create(SubjectAccessReview, { ...KIND, metadata: {}, spec: asked } as Draft<SubjectAccessReview>);
  return review.status?.allowed === true;
}

async function approve(csr: CertificateSigningRequest, message: string, client: ReconcileClient, time: string): Promise<void> {
  const condition = { type: 'Approved', status: 'True', reason: 'AutoApproved', message, lastUpdateTime: time };
  const status = { ...csr.status, conditions: [...(csr.status?.conditions ?? []), condition] };
  await ignoreAbsent(client.replaceSubresource(CertificateSigningRequest, csr.metadata, 'approval', { ...csr, status }));
}

async function fail(csr: CertificateSigningRequest, message: string, client: ReconcileClient, time: string): Promise<void> {
  const conditions = csr.status?.conditions ?? [];
  if (conditions.some(({ type }) => type === 'Failed') || !conditions.some(({ type }) => type === 'Approved')) return;
  const condition = { type: 'Failed', status: 'True', reason: 'SignerValidationFailure', message, lastUpdateTime: time };
  await ignoreAbsent(
    client.updateStatus(CertificateSigningRequest, { ...csr, status: { ...csr.status, conditions: [...conditions, condition] } }),
  );
}
