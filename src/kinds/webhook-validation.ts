import type { FieldCause } from '#base/errors.ts';
import type { MutatingWebhook, RuleWithOperations, ValidatingWebhook, WebhookClientConfig } from './types.gen.ts';
import {
  checkDnsLabel,
  checkDnsSubdomain,
  checkPortNumber,
  checkQualifiedName,
  duplicate,
  invalid,
  notSupported,
  required,
  tooMany,
  validateEnum,
  validateLabelSelector,
  validateUnique,
} from './validation.ts';

/** A webhook of either sort: `reinvocationPolicy` only mutating ones have. */
export type Webhook = ValidatingWebhook & Pick<MutatingWebhook, 'reinvocationPolicy'>;

const OPERATIONS = ['*', 'CONNECT', 'CREATE', 'DELETE', 'UPDATE'];
const REVIEW_VERSIONS = ['v1', 'v1beta1'];
const MOST_CONDITIONS = 64;

/** What a client may leave out of a webhook. Changes it. */
export function defaultWebhook(webhook: Webhook): void {
  webhook.failurePolicy ??= 'Fail';
  webhook.matchPolicy ??= 'Equivalent';
  webhook.namespaceSelector ??= {};
  webhook.objectSelector ??= {};
  webhook.timeoutSeconds ??= 10;
  for (const rule of webhook.rules ?? []) rule.scope ??= '*';
  if (webhook.clientConfig?.service) webhook.clientConfig.service.port ??= 443;
}

/** All that is wrong with a configuration's webhooks. */
export function validateWebhooks(webhooks: readonly Webhook[] = [], isMutating: boolean): FieldCause[] {
  return [
    ...webhooks.flatMap((webhook, i) => validateWebhook(webhook, `webhooks[${i}]`, isMutating)),
    ...validateUnique(
      webhooks,
      ({ name }) => name,
      i => `webhooks[${i}].name`,
    ),
  ];
}

function validateWebhook(webhook: Webhook, path: string, isMutating: boolean): FieldCause[] {
  const { name, rules = [], timeoutSeconds, matchConditions = [] } = webhook;
  const causes = validateHookName(name, `${path}.name`);
  causes.push(...validateReviewVersions(webhook.admissionReviewVersions, `${path}.admissionReviewVersions`));
  rules.forEach((rule, i) => {
    causes.push(...validateRule(rule, `${path}.rules[${i}]`));
  });
  causes.push(
    ...validateEnum(webhook.failurePolicy, ['Fail', 'Ignore'], `${path}.failurePolicy`),
    ...validateEnum(webhook.matchPolicy, ['Equivalent', 'Exact'], `${path}.matchPolicy`),
    ...validateEnum(webhook.sideEffects, ['None', 'NoneOnDryRun'], `${path}.sideEffects`, true),
  );
  if (timeoutSeconds !== undefined && (timeoutSeconds < 1 || timeoutSeconds > 30))
    causes.push(invalid(`${path}.timeoutSeconds`, timeoutSeconds, 'the timeout value must be between 1 and 30 seconds'));
  if (isMutating) causes.push(...validateEnum(webhook.reinvocationPolicy, ['IfNeeded', 'Never'], `${path}.reinvocationPolicy`));
  causes.push(
    ...validateLabelSelector(webhook.namespaceSelector, `${path}.namespaceSelector`),
    ...validateLabelSelector(webhook.objectSelector, `${path}.objectSelector`),
    ...validateClientConfig(webhook.clientConfig, `${path}.clientConfig`),
  );
  const conditions = `${path}.matchConditions`;
  if (matchConditions.length > MOST_CONDITIONS) causes.push(tooMany(conditions, matchConditions.length, MOST_CONDITIONS));
  matchConditions.forEach((condition, i) => {
    const at = `${conditions}[${i}]`;
    if (!condition.name) causes.push(required(`${at}.name`));
    else causes.push(...checkQualifiedName(condition.name).map(why => invalid(`${at}.name`, condition.name, why)));
    if (!condition.expression?.trim()) causes.push(required(`${at}.expression`));
    if (matchConditions.findIndex(other => other.name === condition.name) < i) causes.push(duplicate(`${at}.name`, condition.name));
  });
  return causes;
}

function validateHookName(name: string | undefined, field: string): FieldCause[] {
  if (!name) return [required(field)];
  const causes = checkDnsSubdomain(name).map(why => invalid(field, name, why));
  if (causes.length === 0 && name.split('.').length < 3)
    causes.push(invalid(field, name, 'should be a domain with at least three segments separated by dots'));
  return causes;
}

function validateReviewVersions(versions: readonly string[] = [], field: string): FieldCause[] {
  if (versions.length === 0) return [required(field, `must specify one of ${REVIEW_VERSIONS.join(', ')}`)];
  const causes = versions.flatMap((version, i) => checkDnsLabel(version).map(why => invalid(`${field}[${i}]`, version, why)));
  causes.push(
    ...validateUnique(
      versions,
      version => version,
      i => `${field}[${i}]`,
    ),
  );
  if (!versions.some(version => REVIEW_VERSIONS.includes(version)))
    causes.push(invalid(field, versions, `must include at least one of ${REVIEW_VERSIONS.join(', ')}`));
  return causes;
}

/** A rule of webhooks: what it applies to. */
export function validateRule(rule: RuleWithOperations, path: string): FieldCause[] {
  const { operations = [], apiGroups = [], apiVersions = [], resources = [], scope } = rule;
  const causes: FieldCause[] = [];
  if (operations.length === 0) causes.push(required(`${path}.operations`));
  operations.forEach((operation, i) => {
    if (!OPERATIONS.includes(operation)) causes.push(notSupported(`${path}.operations[${i}]`, operation, OPERATIONS));
  });
  const wild: [field: string, values: readonly string[], what: string][] = [
    ['operations', operations, 'operations'],
    ['apiGroups', apiGroups, 'API groups'],
    ['apiVersions', apiVersions, 'API versions'],
  ];
  for (const [field, values, what] of wild) {
    if (values.length === 0 && field !== 'operations') causes.push(required(`${path}.${field}`));
    if (values.length > 1 && values.includes('*'))
      causes.push(invalid(`${path}.${field}`, values, `if '*' is present, must not specify other ${what}`));
  }
  apiVersions.forEach((version, i) => {
    if (version === '') causes.push(required(`${path}.apiVersions[${i}]`));
  });
  causes.push(
    ...validateResources(resources, `${path}.resources`),
    ...validateEnum(scope, ['*', 'Cluster', 'Namespaced'], `${path}.scope`),
  );
  return causes;
}

function validateResources(resources: readonly string[], field: string): FieldCause[] {
  if (resources.length === 0) return [required(field)];
  const causes: FieldCause[] = [];
  resources.forEach((resource, i) => {
    const [, subresource] = resource.split('/');
    if (resource === '') causes.push(required(`${field}[${i}]`));
    else if (subresource !== undefined && subresource !== '*' && resources.some(one => one === `${resource.split('/')[0]}/*`))
      causes.push(invalid(`${field}[${i}]`, resource, `if '${resource.split('/')[0]}/*' is present, must not specify ${resource}`));
    else if (subresource !== undefined && subresource !== '*' && resources.includes(`*/${subresource}`) && !resource.startsWith('*/'))
      causes.push(invalid(`${field}[${i}]`, resource, `if '*/${subresource}' is present, must not specify ${resource}`));
  });
  if (resources.length > 1 && resources.includes('*/*'))
    causes.push(invalid(field, resources, "if '*/*' is present, must not specify other resources"));
  if (resources.includes('*') && resources.some(one => one !== '*' && !one.includes('/')))
    causes.push(invalid(field, resources, "if '*' is present, must not specify other resources without subresources"));
  return causes;
}

/** Where a webhook is reached: exactly one of URL and Service. */
export function validateClientConfig({ url, service }: WebhookClientConfig = {}, path: string): FieldCause[] {
  if ((url === undefined) === (service === undefined)) return [required(path, 'exactly one of url or service is required')];
  if (url !== undefined) return validateUrl(url, `${path}.url`);
  const { name, namespace, path: at, port = 443 } = service ?? { name: '', namespace: '' };
  const causes: FieldCause[] = [];
  if (!name) causes.push(required(`${path}.service.name`, 'service name is required'));
  if (!namespace) causes.push(required(`${path}.service.namespace`, 'service namespace is required'));
  if (at && !at.startsWith('/')) causes.push(invalid(`${path}.service.path`, at, "must start with a '/'"));
  if (at?.slice(1).split('/').slice(0, -1).includes('')) causes.push(invalid(`${path}.service.path`, at, 'segment may not be empty'));
  causes.push(...checkPortNumber(port).map(why => invalid(`${path}.service.port`, port, `port is not valid: ${why}`)));
  return causes;
}

function validateUrl(text: string, field: string): FieldCause[] {
  const form = '; desired format: https://host[/path]';
  if (!URL.canParse(text)) return [required(field, `url must be a valid URL${form}`)];
  const url = new URL(text);
  const causes: FieldCause[] = [];
  if (url.protocol !== 'https:') causes.push(invalid(field, url.protocol.slice(0, -1), `'https' is the only allowed URL scheme${form}`));
  if (!url.host) causes.push(invalid(field, url.host, `host must be specified${form}`));
  if (url.username || url.password) causes.push(invalid(field, url.username, 'user information is not permitted in the URL'));
  if (url.hash) causes.push(invalid(field, url.hash.slice(1), 'fragments are not permitted in the URL'));
  if (url.search) causes.push(invalid(field, url.search.slice(1), 'query parameters are not permitted in the URL'));
  return causes;
}
