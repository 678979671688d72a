import type { FieldCause } from '#base/errors.ts';
import { compareQuantities, quantityMilliValue } from '#base/quantity.ts';
import { defineKind } from './define-kind.ts';
import type { Kind } from './kind.ts';
import { isOvercommitted, validateContainerName, validateResourceName } from './resources-validation.ts';
import type * as types from './types.gen.ts';
import { checkQualifiedName, duplicate, forbidden, invalid, required } from './validation.ts';

/** Bounds and defaults of what pods and claims of a namespace may ask for. */
export const LimitRange: Kind<types.LimitRange> = defineKind<types.LimitRange>('v1/LimitRange', {
  defaults({ spec }) {
    for (const item of spec?.limits ?? []) if (item.type === 'Container') defaultItem(item);
  },
  validate({ spec }) {
    const limits = spec?.limits ?? [];
    const causes: FieldCause[] = [];
    limits.forEach((item, i) => {
      const path = `spec.limits[${i}]`;
      if (limits.findIndex(({ type }) => type === item.type) < i) causes.push(duplicate(`${path}.type`, item.type));
      causes.push(...validateItem(item, path));
    });
    return causes;
  },
  cells: { 'Created At': ({ metadata }) => metadata.creationTimestamp },
});
export type LimitRange = types.LimitRange;

/** Limits come from the maximum, requests from the limit, then from the minimum. */
function defaultItem(item: types.LimitRangeItem): void {
  const limits = { ...item.max, ...item.default };
  const requests = { ...item.min, ...limits, ...item.defaultRequest };
  if (Object.keys(limits).length > 0) item.default = limits;
  if (Object.keys(requests).length > 0) item.defaultRequest = requests;
}

function validateItem(item: types.LimitRangeItem, path: string): FieldCause[] {
  const { type, min = {}, max = {}, maxLimitRequestRatio: ratio = {} } = item;
  const causes: FieldCause[] = checkQualifiedName(type ?? '').map(why => invalid(`${path}.type`, type, why));
  if (causes.length === 0 && !type.includes('/') && !TYPES.includes(type))
    causes.push(invalid(`${path}.type`, type, 'must be a standard limit type or fully qualified'));
  const checkName = type === 'Pod' || type === 'Container' ? validateContainerName : validateResourceName;
  if (type === 'Pod') {
    for (const field of ['default', 'defaultRequest'] as const)
      if (Object.keys(item[field] ?? {}).length > 0)
        causes.push(forbidden(`${path}.${field}`, "may not be specified when `type` is 'Pod'"));
  }
  if (type === 'PersistentVolumeClaim' && min.storage === undefined && max.storage === undefined)
    causes.push(required(`${path}.limits`, 'either minimum or maximum storage value is required, but neither was provided'));
  for (const field of ['max', 'min', 'default', 'defaultRequest', 'maxLimitRequestRatio'] as const) {
    if (type === 'Pod' && field.startsWith('default')) continue;
    for (const key of Object.keys(item[field] ?? {})) causes.push(...checkName(key, `${path}.${field}[${key}]`));
  }
  const { default: limit = {}, defaultRequest: request = {} } = type === 'Pod' ? {} : item;
  const ordered: [
    low: types.LimitRangeItem['min'],
    high: types.LimitRangeItem['max'],
    field: string,
    say: (a: Shown, b: Shown) => string,
  ][] = [
    [min, max, 'min', (low, high) => `min value ${low} is greater than max value ${high}`],
    [min, request, 'defaultRequest', (low, high) => `min value ${low} is greater than default request value ${high}`],
    [request, max, 'defaultRequest', (low, high) => `default request value ${low} is greater than max value ${high}`],
    [request, limit, 'defaultRequest', (low, high) => `default request value ${low} is greater than default limit value ${high}`],
    [min, limit, 'default', (low, high) => `min value ${low} is greater than default value ${high}`],
    [limit, max, 'default', (low, high) => `default value ${low} is greater than max value ${high}`],
  ];
  for (const [low = {}, high = {}, field, say] of ordered) {
    for (const key of Object.keys(low).filter(key => Object.hasOwn(high, key))) {
      const [a, b] = [low[key]!, high[key]!];
      if (compareQuantities(a, b) > 0)
        causes.push(invalid(`${path}.${field}[${key}]`, blamed(field, low === min, high === max, a, b), say(a, b)));
    }
  }
  for (const [key, asked] of Object.entries(request)) {
    const given = Object.hasOwn(limit, key) ? limit[key] : undefined;
    if (given === undefined || isOvercommitted(key) || compareQuantities(given, asked) === 0) continue;
    const why = `default value ${given} must equal to defaultRequest value ${asked} in ${key}`;
    causes.push(invalid(`${path}.defaultRequest[${key}]`, asked, why));
  }
  for (const [key, most] of Object.entries(ratio)) {
    const at = `${path}.maxLimitRequestRatio[${key}]`;
    if (compareQuantities(most, 1) < 0) causes.push(invalid(at, most, `ratio ${most} is less than 1`));
    if (!Object.hasOwn(min, key) || !Object.hasOwn(max, key)) continue;
    const widest = quantityMilliValue(max[key]!) / quantityMilliValue(min[key]!);
    if (quantityMilliValue(most) / 1000 > widest)
      causes.push(invalid(at, most, `ratio ${most} is greater than max/min = ${widest.toFixed(6)}`));
  }
  return causes;
}

const TYPES = ['Pod', 'Container', 'PersistentVolumeClaim'];

/** Which of the two values upstream shows: of defaults the bound that they break. */
function blamed(field: string, isFromMin: boolean, isToMax: boolean, low: Shown, high: Shown): Shown {
  if (field === 'default') return isFromMin ? low : high;
  return field === 'defaultRequest' && isFromMin && !isToMax ? high : low;
}

type Shown = string | number;
