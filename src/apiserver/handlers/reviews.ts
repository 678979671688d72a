import { type FieldCause, isUmiakError } from '#base/errors.ts';
import type { Kind, KubeObject } from '#kinds/kind.ts';
import { checkObject } from '#kinds/schema.ts';
import type {
  LocalSubjectAccessReview,
  SelfSubjectAccessReview,
  SelfSubjectRulesReview,
  SubjectAccessReview,
  TokenReview,
} from '#kinds/types.gen.ts';
import { invalid } from '#kinds/validation.ts';
import { fieldValidationOf, readBodyValue } from '../decode.ts';
import type { Attributes, Authorizer, Decision, Identity, RulesOf, TokenReviewer } from '../identity.ts';
import type { Context, Outcome, ResourceRoute } from '../request.ts';
import { badRequest, invalid as invalidObject } from '../status.ts';
import { type ReviewedAttributes, selectorsOf } from './review-selectors.ts';

export interface ReviewOptions {
  authorize: Authorizer;
  rulesOf?: RulesOf | undefined;
  reviewToken?: TokenReviewer | undefined;
}

type Handler = (context: Context<ResourceRoute>) => Promise<Outcome>;
type Spec = SubjectAccessReview['spec'];

/** The questions that can be asked about who may do what; computed by the same door that every request goes through, never stored. */
export function reviewHandlers({ authorize, rulesOf, reviewToken }: ReviewOptions): [string, Handler][] {
  return [
    [
      'selfsubjectaccessreviews.authorization.k8s.io',
      answering<SelfSubjectAccessReview>(async (review, context) => ({
        status: await decide(authorize, context.identity, review.spec, context),
      })),
    ],
    [
      'subjectaccessreviews.authorization.k8s.io',
      answering<SubjectAccessReview>(async ({ spec }, context) => {
        refuse(context, subjectCauses(spec));
        return { status: await decide(authorize, subjectOf(spec), spec, context) };
      }),
    ],
    [
      'localsubjectaccessreviews.authorization.k8s.io',
      answering<LocalSubjectAccessReview>(async ({ spec }, context) => {
        const { namespace } = context.route;
        const causes = subjectCauses(spec);
        if (spec.nonResourceAttributes)
          causes.push(invalid('spec.nonResourceAttributes', spec.nonResourceAttributes, 'disallowed on this kind of request'));
        refuse(context, causes);
        if ((spec.resourceAttributes?.namespace ?? '') !== namespace)
          throw badRequest(`spec.resourceAttributes.namespace must match namespace: ${namespace}`);
        return { status: await decide(authorize, subjectOf(spec), spec, context) };
      }),
    ],
    [
      'selfsubjectrulesreviews.authorization.k8s.io',
      answering<SelfSubjectRulesReview>(async (review, { identity }) => {
        if (!review.spec?.namespace) throw badRequest('no namespace on request');
        const rules = rulesOf
          ? await rulesOf(identity, review.spec.namespace)
          : { resourceRules: [], nonResourceRules: [], incomplete: true };
        return { status: rules };
      }),
    ],
    [
      'selfsubjectreviews.authentication.k8s.io',
      answering<KubeObject>(async (_review, { identity }) => ({ status: { userInfo: toUserInfo(identity) } })),
    ],
    ['tokenreviews.authentication.k8s.io', answering<TokenReview>(async review => ({ status: await judgeToken(review, reviewToken) }))],
  ];
}

/** Reads the question, lets `answer` say what is to be added, and gives it back. */
function answering<T extends KubeObject>(answer: (review: T, context: Context<ResourceRoute>) => Promise<object>): Handler {
  return async context => {
    const { value, duplicates } = await readBodyValue(context);
    const kind = context.route.served.kind as Kind<T>;
    const { object } = checkObject(kind, value, { fieldValidation: fieldValidationOf(context.query), strictErrors: duplicates });
    const metadata = { ...object.metadata, creationTimestamp: null };
    return { type: 'value', status: 201, value: { ...object, metadata, ...(await answer(object, context)) } };
  };
}

type Asked = Pick<Spec, 'resourceAttributes' | 'nonResourceAttributes'>;

async function decide(authorize: Authorizer, identity: Identity, asked: Asked, context: Context<ResourceRoute>): Promise<object> {
  const { resourceAttributes, nonResourceAttributes } = asked;
  refuse(context, questionCauses(asked));
  const none = { identity, verb: '', group: '', version: '', resource: '', subresource: '', namespace: '', name: '' };
  if (nonResourceAttributes) {
    const { verb = '', path = '' } = nonResourceAttributes;
    return toStatus(await authorize({ ...none, verb, path }));
  }
  const { selectors, causes } = selectorsOf(resourceAttributes as ReviewedAttributes, 'spec.resourceAttributes');
  refuse(context, causes);
  return toStatus(await authorize({ ...none, ...definedOf(resourceAttributes!), ...selectors }));
}

function toStatus({ allowed, denied, reason }: Decision): object {
  return { allowed, ...(denied && { denied }), ...(reason && { reason }) };
}

function definedOf(given: NonNullable<Spec['resourceAttributes']>): Partial<Attributes> {
  const { verb = '', group = '', version = '', resource = '', subresource = '', namespace = '', name = '' } = given;
  return { verb, group, version, resource, subresource, namespace, name };
}

function questionCauses({ resourceAttributes, nonResourceAttributes }: Asked): FieldCause[] {
  if (resourceAttributes && nonResourceAttributes)
    return [invalid('spec.nonResourceAttributes', nonResourceAttributes, 'cannot be specified in combination with resourceAttributes')];
  if (resourceAttributes || nonResourceAttributes) return [];
  return [invalid('spec.resourceAttributes', null, 'exactly one of nonResourceAttributes or resourceAttributes must be specified')];
}

function subjectCauses({ user = '', groups = [] }: Spec): FieldCause[] {
  return user || groups.length > 0 ? [] : [invalid('spec.user', user, 'at least one of user or group must be specified')];
}

function refuse({ route: { served } }: Context<ResourceRoute>, causes: FieldCause[]): void {
  if (causes.length > 0) throw invalidObject(served.resource, '', causes);
}

function subjectOf({ user = '', groups = [], uid, extra }: Spec): Identity {
  return { name: user, groups, ...(uid && { uid }), ...(extra && { extra: extra as Record<string, string[]> }) };
}

async function judgeToken({ spec }: TokenReview, reviewToken: TokenReviewer | undefined): Promise<object> {
  if (!spec?.token) throw badRequest('token is required for TokenReview in authentication');
  if (!reviewToken) return { authenticated: false, error: 'this server reviews no tokens' };
  try {
    const { identity, audiences } = await reviewToken(spec.token, spec.audiences ?? []);
    return { authenticated: true, user: toUserInfo(identity), audiences };
  } catch (error) {
    if (!isUmiakError(error, 'Unauthorized')) throw error;
    return { authenticated: false, error: error.message };
  }
}

function toUserInfo({ name, uid, groups, extra }: Identity): object {
  return { username: name, ...(uid && { uid }), groups, ...(extra && Object.keys(extra).length > 0 && { extra }) };
}
