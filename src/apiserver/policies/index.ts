/**
 * Admission policies: ValidatingAdmissionPolicy and MutatingAdmissionPolicy with their bindings, in CEL.
 *
 * `policy-set.ts` keeps the bound policies from the server's own cache, so one is in effect with the revision that made it; `matching.ts`
 * decides for whom, `params.ts` finds what parametrizes it, `environment.ts` compiles its expressions, `evaluation.ts` gives them their
 * variables, `validating.ts` and `mutating.ts` act on what they say; `policies.ts` joins it into plugins of the admission list.
 * `policy-status.ts` tells afterwards what `type-checking.ts` finds doubtful.
 *
 * Invariants: without a bound policy nothing is done and the expression language is not loaded; what a policy changes is checked and
 * completed like what a client sends; the objects that configure admission are never shown to policies.
 */
export { Policies } from './policies.ts';
export { PolicyStatuses } from './policy-status.ts';
