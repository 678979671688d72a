/**
 * Admission webhooks: what others, over HTTPS, may say about a write before it is committed.
 *
 * `configurations.ts` keeps the webhooks of all configurations from the server's own cache, so a new one is in effect with the revision that
 * made it; `rules.ts` and `dispatcher.ts` choose those a request concerns; `review.ts` speaks AdmissionReview v1 and v1beta1;
 * `webhook-caller.ts` posts over kept, verified connections, to a URL or to an endpoint of a Service; `webhooks.ts` joins it into two plugins
 * of the admission list, and `connect.ts` asks about connections to pods.
 *
 * Invariants: without a configuration nothing is done; what a webhook changes is checked and completed like what a client sends;
 * configurations of admission itself are never shown to webhooks. A write that starts anew after a conflict asks again.
 */
export { connectAdmission } from './connect.ts';
export { checkedExpressions } from './expressions.ts';
export { Webhooks } from './webhooks.ts';
