import { parseGoDuration } from '#base/go-duration.ts';
import { UmiakError } from '#base/index.ts';
import { isObject } from '#base/json-object.ts';

/** One program of a `CredentialProviderConfig`, as the kubelet knows it. */
export interface CredentialProvider {
  /** Of the program in the folder of providers. */
  name: string;
  /** `*.example.com`, `registry.example:5000/team`. */
  matchImages: string[];
  defaultCacheMs: number;
  apiVersion: string;
  args: string[];
  env: Record<string, string>;
}

const API_VERSIONS = ['v1', 'v1beta1', 'v1alpha1'].map(version => `credentialprovider.kubelet.k8s.io/${version}`);
const CONFIG_VERSIONS = ['v1', 'v1beta1', 'v1alpha1'].map(version => `kubelet.config.k8s.io/${version}`);
const KEYS = ['name', 'matchImages', 'defaultCacheDuration', 'apiVersion', 'args', 'env'];

/** Checks a parsed `CredentialProviderConfig`. @throws Invalid naming the file and the field */
export function planCredentialProviders(document: unknown, file: string): CredentialProvider[] {
  const refuse = (field: string, must: string): never => {
    throw new UmiakError('Invalid', `${file}: ${field} ${must}`, {
      details: { causes: [{ reason: 'FieldValueInvalid', message: must, field }] },
      hint: 'It is a CredentialProviderConfig, as --image-credential-provider-config of the kubelet takes it.',
    });
  };
  if (!isObject(document)) return refuse('it', 'must be an object');
  if (document.kind !== 'CredentialProviderConfig') refuse('kind', 'must be CredentialProviderConfig');
  if (!CONFIG_VERSIONS.includes(String(document.apiVersion))) refuse('apiVersion', `must be one of ${CONFIG_VERSIONS.join(', ')}`);
  const { providers } = document;
  if (!Array.isArray(providers) || providers.length === 0) return refuse('providers', 'must be a list with at least one provider');
  const plans = providers.map((provider, i) => planProvider(provider, `providers[${i}]`, refuse));
  for (const [i, { name }] of plans.entries())
    if (plans.findIndex(each => each.name === name) !== i) refuse(`providers[${i}].name`, `must be unique: ${name} stands twice`);
  return plans;
}

function planProvider(provider: unknown, at: string, refuse: (field: string, must: string) => never): CredentialProvider {
  if (!isObject(provider)) return refuse(at, 'must be an object');
  if (provider.tokenAttributes !== undefined)
    refuse(`${at}.tokenAttributes`, 'is not supported: providers get no service account tokens here');
  for (const key of Object.keys(provider)) if (!KEYS.includes(key)) refuse(`${at}.${key}`, `is no field; there are ${KEYS.join(', ')}`);
  const { name, matchImages, defaultCacheDuration, apiVersion, args = [], env = [] } = provider;
  if (typeof name !== 'string' || !/^[^\s/]+$/.test(name) || /^\.\.?$/.test(name))
    return refuse(`${at}.name`, 'must be the name of a file');
  if (!isTexts(matchImages) || matchImages.length === 0) return refuse(`${at}.matchImages`, 'must be a list with at least one pattern');
  const defaultCacheMs = typeof defaultCacheDuration === 'string' ? parseGoDuration(defaultCacheDuration) : undefined;
  if (defaultCacheMs === undefined) return refuse(`${at}.defaultCacheDuration`, 'must be a duration, as "12h"');
  if (!API_VERSIONS.includes(String(apiVersion))) refuse(`${at}.apiVersion`, `must be one of ${API_VERSIONS.join(', ')}`);
  if (!isTexts(args)) return refuse(`${at}.args`, 'must be a list of texts');
  const pairs = Array.isArray(env) ? env.map(each => [isObject(each) && each.name, isObject(each) && each.value]) : [[undefined]];
  if (!pairs.every(isTexts)) return refuse(`${at}.env`, 'must be a list of names and values');
  return { name, matchImages, defaultCacheMs, apiVersion: String(apiVersion), args, env: Object.fromEntries(pairs) };
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every(each => typeof each === 'string');
}
