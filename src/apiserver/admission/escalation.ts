import type { EscalationCheck } from '../rbac-escalation.ts';
import type { AdmissionPlugin } from '../write.ts';

/** Nobody may give away by a role or binding what he does not hold. */
export function escalationAdmission(check: EscalationCheck): AdmissionPlugin {
  return {
    name: 'RBACEscalation',
    validate({ operation, served, identity, object, old }) {
      if (operation !== 'DELETE' && served.resource.group === 'rbac.authorization.k8s.io') return check(identity, object, old);
    },
  };
}
