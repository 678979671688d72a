import type { FieldCause } from '#base/errors.ts';
import { parseFieldSelector } from '#base/field-selector.ts';
import { parseLabelSelector } from '#base/label-selector.ts';
import type { SubjectAccessReview } from '#kinds/types.gen.ts';
import { invalid, notSupported, required } from '#kinds/validation.ts';
import type { Attributes } from '../identity.ts';

export type ReviewedAttributes = NonNullable<SubjectAccessReview['spec']['resourceAttributes']>;
type Requirement = { key: string; operator: string; values?: string[] | undefined };
type Selector = { rawSelector?: string | undefined; requirements?: Requirement[] | undefined };

const OPERATORS = ['In', 'NotIn', 'Exists', 'DoesNotExist'];

/**
 * The selectors of a review in the form the authorizers read. What can't be parsed or said is left out and not refused: an authorizer
 * that knows less of a request only allows less (KEP-4601).
 */
export function selectorsOf(
  { fieldSelector, labelSelector }: ReviewedAttributes,
  at: string,
): { selectors: Pick<Attributes, 'fieldSelector' | 'labelSelector'>; causes: FieldCause[] } {
  const causes = [
    ...selectorCauses(fieldSelector as Selector | undefined, `${at}.fieldSelector`),
    ...selectorCauses(labelSelector as Selector | undefined, `${at}.labelSelector`),
  ];
  const field = textOf(fieldSelector as Selector | undefined, fieldTerm, parseFieldSelector);
  const label = textOf(labelSelector as Selector | undefined, labelTerm, parseLabelSelector);
  return { selectors: { ...(field && { fieldSelector: field }), ...(label && { labelSelector: label }) }, causes };
}

function selectorCauses(selector: Selector | undefined, at: string): FieldCause[] {
  if (!selector) return [];
  const { rawSelector = '', requirements = [] } = selector;
  if (rawSelector && requirements.length)
    return [invalid(`${at}.rawSelector`, rawSelector, 'may not specified at the same time as requirements')];
  if (!rawSelector && !requirements.length)
    return [required(`${at}.requirements`, `when ${at} is specified, requirements or rawSelector is required`)];
  return requirements.flatMap(({ key, operator, values = [] }, i) => {
    const here = `${at}.requirements[${i}]`;
    const causes = key ? [] : [required(`${here}.key`, 'must be specified')];
    if (!OPERATORS.includes(operator)) causes.push(notSupported(`${here}.operator`, operator, OPERATORS));
    const wantsValues = operator === 'In' || operator === 'NotIn';
    if (wantsValues && values.length === 0) causes.push(required(`${here}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
    if (!wantsValues && values.length > 0)
      causes.push(invalid(`${here}.values`, values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
    return causes;
  });
}

function textOf(
  selector: Selector | undefined,
  term: (requirement: Requirement) => string | undefined,
  parse: (text: string) => unknown,
): string | undefined {
  if (!selector) return undefined;
  const text = selector.rawSelector || (selector.requirements ?? []).flatMap(requirement => term(requirement) ?? []).join(',');
  try {
    parse(text);
    return text;
  } catch {
    return undefined;
  }
}

/** Field selectors know equality only. */
function fieldTerm({ key, operator, values = [] }: Requirement): string | undefined {
  if (values.length !== 1) return undefined;
  const value = values[0]!.replaceAll(/[\\,=]/g, '\\$&');
  return operator === 'In' ? `${key}=${value}` : operator === 'NotIn' ? `${key}!=${value}` : undefined;
}

function labelTerm({ key, operator, values = [] }: Requirement): string | undefined {
  switch (operator) {
    case 'In':
      return `${key} in (${values.join(',')})`;
    case 'NotIn':
      return `${key} notin (${values.join(',')})`;
    case 'Exists':
      return key;
    case 'DoesNotExist':
      return `!${key}`;
  }
  return undefined;
}
