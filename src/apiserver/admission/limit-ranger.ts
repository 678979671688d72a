import { addQuantities, compareQuantities, formatQuantity, parseQuantity, quantityMilliValue } from '#base/quantity.ts';
import type { LimitRange, LimitRangeItem, PersistentVolumeClaim, Pod, Quantity, ResourceRequirements } from '#kinds/types.gen.ts';
import type { Stored } from '../resources.ts';
import { forbidden } from '../status.ts';
import type { AdmissionPlugin, Write } from '../write.ts';

type Amounts = Record<string, Quantity>;

const ANNOTATION = 'kubernetes.io/limit-ranger';

/** Gives pods the defaults of their namespace's limit ranges and keeps pods and claims within the bounds. */
export function limitRanger(ranges: Stored, pods: Stored, claims: Stored): AdmissionPlugin {
  const { cache } = ranges;
  const inNamespace = (namespace: string): LimitRange[] => {
    if (cache.size === 0) return [];
    return [...cache.now.range(`${namespace}/`, `${namespace}0`)].map(stored => stored.object<LimitRange>());
  };
  const isBounded = ({ operation, subresource, served }: Write) => {
    if (served.cache === pods.cache) return subresource === 'resize' || (operation === 'CREATE' && !subresource);
    return served.cache === claims.cache && operation !== 'DELETE' && !subresource;
  };
  return {
    name: 'LimitRanger',
    mutate(write) {
      if (cache.size === 0 || write.served.cache !== pods.cache || !isBounded(write)) return;
      for (const range of inNamespace(write.namespace)) applyDefaults(write.object as Pod, range);
    },
    validate(write) {
      if (cache.size === 0 || !isBounded(write)) return;
      for (const range of inNamespace(write.namespace)) {
        const wrong =
          write.served.cache === pods.cache
            ? podBreaks(write.object as Pod, range)
            : claimBreaks(write.object as PersistentVolumeClaim, range);
        if (wrong.length > 0) throw forbidden(write.served.resource, write.name, wrong.length === 1 ? wrong[0]! : `[${wrong.join(', ')}]`);
      }
    },
  };
}

/** Gives containers what they leave out, and says so in an annotation. Changes `pod`. */
export function applyDefaults(pod: Pod, { spec }: LimitRange): void {
  const items = (spec?.limits ?? []).filter(({ type }) => type === 'Container');
  const requests = Object.assign({}, ...items.map(({ defaultRequest }) => defaultRequest)) as Amounts;
  const limits = Object.assign({}, ...items.map(item => item.default)) as Amounts;
  const said: string[] = [];
  const fill = (what: string, name: string, kind: string, given: Amounts | undefined, defaults: Amounts): Amounts | undefined => {
    const missing = Object.keys(defaults).filter(key => given?.[key] === undefined);
    if (missing.length === 0) return given;
    said.push(`${missing.sort().join(', ')} ${what} for ${kind} ${name}`);
    return { ...given, ...Object.fromEntries(missing.map(key => [key, defaults[key]!])) };
  };
  const { containers, initContainers = [] } = pod.spec;
  for (const container of [...containers, ...initContainers]) {
    const kind = containers.includes(container) ? 'container' : 'init container';
    const { requests: asked, limits: bound, ...rest } = container.resources ?? {};
    const [newRequests, newLimits] = [
      fill('request', container.name, kind, asked, requests),
      fill('limit', container.name, kind, bound, limits),
    ];
    container.resources = { ...rest, ...(newLimits && { limits: newLimits }), ...(newRequests && { requests: newRequests }) };
  }
  if (said.length > 0)
    pod.metadata.annotations = { ...pod.metadata.annotations, [ANNOTATION]: `LimitRanger plugin set: ${said.join('; ')}` };
}

/** What of a pod is outside the bounds, in upstream's words. */
export function podBreaks({ spec: { containers, initContainers = [], resources } }: Pod, { spec }: LimitRange): string[] {
  return (spec?.limits ?? []).flatMap(item => {
    if (item.type === 'Container') return [...containers, ...initContainers].flatMap(each => itemBreaks(item, each.resources));
    if (item.type !== 'Pod') return [];
    const sum = (which: 'requests' | 'limits'): Amounts => {
      const main = containers.map(each => each.resources?.[which] ?? {});
      const long = initContainers.filter(({ restartPolicy }) => restartPolicy === 'Always').map(each => each.resources?.[which] ?? {});
      const total = [...main, ...long].reduce((a, b) => merged(a, b, added), {});
      return {
        ...initContainers.reduce((most, each) => merged(most, each.resources?.[which] ?? {}, larger), total),
        ...resources?.[which],
      };
    };
    return itemBreaks(item, { requests: sum('requests'), limits: sum('limits') });
  });
}

/** The same for a claim's storage. */
export function claimBreaks({ spec: { resources } }: PersistentVolumeClaim, { spec }: LimitRange): string[] {
  return (spec?.limits ?? []).flatMap(({ type, min, max }) => {
    if (type !== 'PersistentVolumeClaim') return [];
    const over = Object.entries(max ?? {}).flatMap(([key, most]) => {
      const asked = resources?.requests?.[key];
      if (asked === undefined) return [`maximum ${key} usage per ${type} is ${most}.  No request is specified`];
      return compareQuantities(asked, most) > 0 ? [`maximum ${key} usage per ${type} is ${most}, but request is ${asked}`] : [];
    });
    return [...Object.entries(min ?? {}).flatMap(([key, least]) => minBreaks(type, key, least, resources?.requests, undefined)), ...over];
  });
}

function itemBreaks(
  { type, min = {}, max = {}, maxLimitRequestRatio: ratio = {} }: LimitRangeItem,
  given: ResourceRequirements = {},
): string[] {
  const { requests, limits } = given;
  return [
    ...Object.entries(min).flatMap(([key, least]) => minBreaks(type, key, least, requests, limits)),
    ...Object.entries(max).flatMap(([key, most]) => maxBreaks(type, key, most, requests, limits)),
    ...Object.entries(ratio).flatMap(([key, most]) => ratioBreaks(type, key, most, requests, limits)),
  ];
}

function minBreaks(type: string, key: string, least: Quantity, requests: Amounts | undefined, limits: Amounts | undefined): string[] {
  const [request, limit] = [requests?.[key], limits?.[key]];
  const rule = `minimum ${key} usage per ${type} is ${least}`;
  if (request === undefined) return [`${rule}.  No request is specified`];
  if (compareQuantities(request, least) < 0) return [`${rule}, but request is ${request}`];
  return limit !== undefined && compareQuantities(limit, least) < 0 ? [`${rule}, but limit is ${limit}`] : [];
}

function maxBreaks(type: string, key: string, most: Quantity, requests: Amounts | undefined, limits: Amounts | undefined): string[] {
  const [request, limit] = [requests?.[key], limits?.[key]];
  const rule = `maximum ${key} usage per ${type} is ${most}`;
  if (limit === undefined) return [`${rule}.  No limit is specified`];
  if (compareQuantities(limit, most) > 0) return [`${rule}, but limit is ${limit}`];
  return request !== undefined && compareQuantities(request, most) > 0 ? [`${rule}, but request is ${request}`] : [];
}

function ratioBreaks(type: string, key: string, most: Quantity, requests: Amounts | undefined, limits: Amounts | undefined): string[] {
  const [request, limit] = [quantityMilliValue(requests?.[key] ?? 0), quantityMilliValue(limits?.[key] ?? 0)];
  const rule = `${key} max limit to request ratio per ${type} is ${most}`;
  if (request === 0) return [`${rule}, but no request is specified or request is 0`];
  if (limit === 0) return [`${rule}, but no limit is specified or limit is 0`];
  return limit / request > quantityMilliValue(most) / 1000 ? [`${rule}, but provided ratio is ${(limit / request).toFixed(6)}`] : [];
}

function merged(a: Amounts, b: Amounts, join: (a: Quantity, b: Quantity) => Quantity): Amounts {
  const result = { ...a };
  for (const [key, amount] of Object.entries(b)) result[key] = result[key] === undefined ? amount : join(result[key], amount);
  return result;
}

function added(a: Quantity, b: Quantity): Quantity {
  return formatQuantity(addQuantities(parseQuantity(a), parseQuantity(b)));
}

function larger(a: Quantity, b: Quantity): Quantity {
  return compareQuantities(a, b) >= 0 ? a : b;
}
