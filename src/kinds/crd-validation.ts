import type { FieldCause } from '#base/errors.ts';
import { duplicate, invalid, notSupported, required } from './field-errors.ts';
import { checkDns1035Label, checkDnsSubdomain } from './names.ts';
import type * as types from './types.gen.ts';
import { validateImmutable, validateUnique } from './validation.ts';

/** What is wrong with a definition but for its schemas: names, scope, versions, conversion. */
export function customResourceDefinitionCauses({ metadata, spec }: types.CustomResourceDefinition): FieldCause[] {
  const causes: FieldCause[] = [];
  const { group, names, versions, scope } = spec;
  const expected = `${names.plural}.${group}`;
  if (metadata.name && metadata.name !== expected)
    causes.push(invalid('metadata.name', metadata.name, `must be spec.names.plural+"."+spec.group`));
  causes.push(...groupCauses(group));
  if (scope !== 'Namespaced' && scope !== 'Cluster')
    causes.push(scope ? notSupported('spec.scope', scope, ['Cluster', 'Namespaced']) : required('spec.scope'));
  causes.push(...versionCauses(versions), ...namesCauses(names), ...conversionCauses(spec));
  if (spec.preserveUnknownFields)
    causes.push(
      invalid(
        'spec.preserveUnknownFields',
        true,
        'cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead',
      ),
    );
  causes.push(...approvalCauses({ metadata, spec }));
  return causes;
}

function groupCauses(group: string): FieldCause[] {
  if (!group) return [required('spec.group')];
  const wrong = checkDnsSubdomain(group).map(why => invalid('spec.group', group, why));
  return group.includes('.') ? wrong : [...wrong, invalid('spec.group', group, 'should be a domain with at least one dot')];
}

function versionCauses(versions: types.CustomResourceDefinitionVersion[]): FieldCause[] {
  const at = 'spec.versions';
  const causes: FieldCause[] = validateUnique(
    versions,
    ({ name }) => name,
    i => `${at}[${i}].name`,
  );
  versions.forEach(({ name, deprecated, deprecationWarning }, i) => {
    if (name) causes.push(...checkDns1035Label(name).map(why => invalid(`${at}[${i}].name`, name, why)));
    if (deprecationWarning === undefined) return;
    const field = `${at}[${i}].deprecationWarning`;
    if (!deprecated) causes.push(invalid(field, deprecationWarning, 'can only be set for deprecated versions'));
    if (deprecationWarning === '') causes.push(invalid(field, '', 'must be non-empty if set'));
    else if (deprecationWarning.length > 256) causes.push(invalid(field, deprecationWarning, 'must be less than or equal to 256 bytes'));
  });
  if (versions.filter(({ storage }) => storage).length !== 1)
    causes.push(
      invalid(
        at,
        versions.map(({ name }) => name),
        'must have exactly one version marked as storage version',
      ),
    );
  return causes;
}

function namesCauses(names: types.CustomResourceDefinitionNames): FieldCause[] {
  const at = 'spec.names';
  const causes: FieldCause[] = [];
  const check = (field: string, value: string | undefined) => {
    if (value) causes.push(...checkDns1035Label(value).map(why => invalid(`${at}.${field}`, value, why)));
  };
  check('plural', names.plural);
  check('singular', names.singular);
  check('kind', names.kind.toLowerCase());
  check('listKind', names.listKind?.toLowerCase());
  for (const [i, name] of (names.shortNames ?? []).entries()) check(`shortNames[${i}]`, name);
  for (const [i, name] of (names.categories ?? []).entries()) check(`categories[${i}]`, name);
  if (names.kind && names.kind === names.listKind)
    causes.push(invalid(`${at}.listKind`, names.listKind, 'kind and listKind may not be the same'));
  return causes;
}

function conversionCauses({ conversion, versions }: types.CustomResourceDefinitionSpec): FieldCause[] {
  const at = 'spec.conversion';
  if (!conversion) return [];
  const { strategy, webhook } = conversion;
  if (strategy === 'None')
    return webhook
      ? [
          {
            reason: 'FieldValueForbidden',
            message: 'Forbidden: should not be set when strategy is not set to Webhook',
            field: `${at}.webhook`,
          },
        ]
      : [];
  if (strategy !== 'Webhook')
    return [strategy ? notSupported(`${at}.strategy`, strategy, ['None', 'Webhook']) : required(`${at}.strategy`)];
  void versions;
  const causes: FieldCause[] = [];
  const config = webhook?.clientConfig;
  if (!config) causes.push(required(`${at}.webhook.clientConfig`, 'required when strategy is set to Webhook'));
  else if ((config.url === undefined) === (config.service === undefined))
    causes.push(required(`${at}.webhook.clientConfig`, 'exactly one of url or service is required'));
  else if (config.url !== undefined) causes.push(...urlCauses(config.url, `${at}.webhook.clientConfig.url`));
  else causes.push(...serviceCauses(config.service!, `${at}.webhook.clientConfig.service`));
  const reviews = webhook?.conversionReviewVersions ?? [];
  const field = `${at}.webhook.conversionReviewVersions`;
  if (reviews.length === 0) causes.push(required(field));
  else {
    reviews.forEach((version, i) => {
      causes.push(...checkDns1035Label(version).map(why => invalid(`${field}[${i}]`, version, why)));
      if (reviews.indexOf(version) < i) causes.push(duplicate(`${field}[${i}]`, version));
    });
    if (!reviews.some(version => version === 'v1' || version === 'v1beta1'))
      causes.push(invalid(field, reviews, 'must include at least one of v1, v1beta1'));
  }
  return causes;
}

function urlCauses(text: string, field: string): FieldCause[] {
  const form = '; desired format: https://host[/path]';
  if (!URL.canParse(text)) return [required(field, `url must be a valid URL: ${text.slice(0, 200)}${form}`)];
  const url = new URL(text);
  const causes: FieldCause[] = [];
  if (url.protocol !== 'https:')
    causes.push(invalid(field, url.protocol.replace(/:$/, ''), `'https' is the only allowed URL scheme${form}`));
  if (!url.hostname) causes.push(invalid(field, url.hostname, `host must be specified${form}`));
  if (url.username) causes.push(invalid(field, url.username, 'user information is not permitted in the URL'));
  if (url.hash) causes.push(invalid(field, url.hash.slice(1), 'fragments are not permitted in the URL'));
  if (url.search) causes.push(invalid(field, url.search.slice(1), 'query parameters are not permitted in the URL'));
  return causes;
}

function serviceCauses({ name, namespace, path, port }: types.ApiextensionsV1ServiceReference, at: string): FieldCause[] {
  const causes: FieldCause[] = [];
  if (!name) causes.push(required(`${at}.name`, 'service name is required'));
  if (!namespace) causes.push(required(`${at}.namespace`, 'service namespace is required'));
  if (port !== undefined && (port < 1 || port > 65535))
    causes.push(invalid(`${at}.port`, port, 'port is not valid: must be between 1 and 65535, inclusive'));
  if (path && !path.startsWith('/')) causes.push(invalid(`${at}.path`, path, `must start with a '/'`));
  return causes;
}

const APPROVED = 'api-approved.kubernetes.io';

/** Groups of the Kubernetes community need its word. */
export function isProtectedGroup(group: string): boolean {
  return group === 'k8s.io' || group === 'kubernetes.io' || group.endsWith('.k8s.io') || group.endsWith('.kubernetes.io');
}

/** What the annotation says of a definition in a protected group. */
export function approvalOf(annotations: Record<string, string> | undefined): {
  state: 'approved' | 'bypassed' | 'missing' | 'invalid';
  value: string;
} {
  const value = annotations?.[APPROVED] ?? '';
  if (value === '') return { state: 'missing', value };
  if (value.startsWith('unapproved')) return { state: 'bypassed', value };
  return { state: URL.canParse(value) && /^https?:\/\//.test(value) ? 'approved' : 'invalid', value };
}

function approvalCauses({ metadata, spec }: Pick<types.CustomResourceDefinition, 'metadata' | 'spec'>): FieldCause[] {
  if (!isProtectedGroup(spec.group)) return [];
  const { state, value } = approvalOf(metadata.annotations);
  const field = `metadata.annotations[${APPROVED}]`;
  if (state === 'missing')
    return [
      required(
        field,
        'protected groups must have approval annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111',
      ),
    ];
  if (state === 'invalid')
    return [
      invalid(
        field,
        value,
        'protected groups must have approval annotation "api-approved.kubernetes.io" with either a URL or a reason starting with "unapproved", see https://github.com/kubernetes/enhancements/pull/1111',
      ),
    ];
  return [];
}

/** What a definition may not change. */
export function customResourceDefinitionUpdateCauses(
  crd: types.CustomResourceDefinition,
  old: types.CustomResourceDefinition,
): FieldCause[] {
  const causes: FieldCause[] = [];
  const isEstablished = old.status?.conditions?.some(({ type, status }) => type === 'Established' && status === 'True') ?? false;
  if (isEstablished) {
    causes.push(...validateImmutable(crd.spec.scope, old.spec.scope, 'spec.scope'));
    causes.push(...validateImmutable(crd.spec.names.kind, old.spec.names.kind, 'spec.names.kind'));
  }
  causes.push(...validateImmutable(crd.spec.group, old.spec.group, 'spec.group'));
  causes.push(...validateImmutable(crd.spec.names.plural, old.spec.names.plural, 'spec.names.plural'));
  for (const [i, stored] of (crd.status?.storedVersions ?? []).entries())
    if (!crd.spec.versions.some(({ name }) => name === stored))
      causes.push(
        invalid(
          `status.storedVersions[${i}]`,
          stored,
          `missing from spec.versions; ${stored} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in ${stored} and removes ${stored} from status.storedVersions`,
        ),
      );
  return causes;
}

/** What a definition's status may not say. */
export function customResourceDefinitionStatusCauses({ spec, status }: types.CustomResourceDefinition): FieldCause[] {
  const stored = status?.storedVersions ?? [];
  const field = 'status.storedVersions';
  const causes: FieldCause[] = stored.length === 0 ? [invalid(field, stored, 'must have at least one stored version')] : [];
  const names = spec.versions.map(({ name }) => name);
  stored.forEach((name, i) => {
    if (!names.includes(name)) causes.push(invalid(`${field}[${i}]`, name, 'must appear in spec.versions'));
    if (stored.indexOf(name) < i) causes.push(invalid(`${field}[${i}]`, name, `must be unique`));
  });
  const storage = spec.versions.find(version => version.storage)?.name;
  if (storage && stored.length > 0 && !stored.includes(storage))
    causes.push(invalid(field, stored, `must have the storage version ${storage}`));
  return causes;
}
