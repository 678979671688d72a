import type { FieldCause } from '#base/errors.ts';
import { validateFrozen } from './config-map.ts';
import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import type * as types from './types.gen.ts';
import { checkConfigKey, invalid, required, tooLong, validateImmutable } from './validation.ts';

const MAX_BYTES = 1 << 20;

const SSH = 'kubernetes.io/ssh-auth';

/** Keys that a Secret of some type must have. */
const NEEDED = new Map([
  ['kubernetes.io/tls', ['tls.crt', 'tls.key']],
  ['kubernetes.io/dockerconfigjson', ['.dockerconfigjson']],
  ['kubernetes.io/dockercfg', ['.dockercfg']],
  [SSH, ['ssh-privatekey']],
]);

/** Confidential bytes by key. */
export const Secret: Kind<types.Secret> = defineKind<types.Secret>('v1/Secret', {
  defaults(secret) {
    secret.type ||= 'Opaque';
    if (!secret.stringData) return;
    const encoded = Object.entries(secret.stringData).map(([key, text]) => [key, Buffer.from(text).toString('base64')]);
    secret.data = { ...secret.data, ...Object.fromEntries(encoded) };
    delete secret.stringData;
  },
  validate(secret) {
    const causes: FieldCause[] = [];
    const { data = {}, type = '' } = secret;
    let bytes = 0;
    for (const key in data) {
      causes.push(...checkConfigKey(key).map(why => invalid(`data[${key}]`, key, why)));
      bytes += Buffer.byteLength(data[key]!, 'base64');
    }
    if (bytes > MAX_BYTES) causes.push(tooLong('data', MAX_BYTES));
    for (const key of NEEDED.get(type) ?? [])
      if (!(type === SSH ? data[key] : Object.hasOwn(data, key))) causes.push(required(`data[${key}]`));
    causes.push(...validateType(secret, data));
    return causes;
  },
  validateUpdate: (secret, old) => [...validateImmutable(secret.type, old.type, 'type'), ...validateFrozen(secret, old, ['data'])],
  cells: { Type: ({ type }) => type ?? '', Data: ({ data = {} }) => String(Object.keys(data).length) },
  selectableFields: { type: ({ type }) => type ?? '' },
});
export type Secret = types.Secret;

function validateType({ type, metadata }: types.Secret, data: Record<string, string>): FieldCause[] {
  switch (type) {
    case 'kubernetes.io/service-account-token':
      return metadata.annotations?.['kubernetes.io/service-account.name']
        ? []
        : [required('metadata.annotations[kubernetes.io/service-account.name]')];
    case 'kubernetes.io/basic-auth':
      return Object.hasOwn(data, 'username') || Object.hasOwn(data, 'password')
        ? []
        : [required('data[username]'), required('data[password]')];
    case 'kubernetes.io/dockerconfigjson':
      return validateJson(data, '.dockerconfigjson');
    case 'kubernetes.io/dockercfg':
      return validateJson(data, '.dockercfg');
    default:
      return [];
  }
}

/** A registry's credentials are a JSON object. What is wrong is said in Go's words, the contents are not shown. */
function validateJson(data: Record<string, string>, key: string): FieldCause[] {
  if (!Object.hasOwn(data, key)) return [];
  const why = whyNoObject(Buffer.from(data[key]!, 'base64').toString());
  return why ? [invalid(`data[${key}]`, '<secret contents redacted>', why)] : [];
}

function whyNoObject(text: string): string | undefined {
  const trimmed = text.trim();
  if (trimmed === '') return 'unexpected end of JSON input';
  try {
    const value: unknown = JSON.parse(trimmed);
    if (value === null || (typeof value === 'object' && !Array.isArray(value))) return undefined;
    const sort = Array.isArray(value) ? 'array' : typeof value === 'boolean' ? 'bool' : typeof value;
    return `json: cannot unmarshal ${sort} into Go value of type map[string]interface {}`;
  } catch {
    const [first = ''] = trimmed;
    return /[[{"\d-]/.test(first) ? 'unexpected end of JSON input' : `invalid character '${first}' looking for beginning of value`;
  }
}
