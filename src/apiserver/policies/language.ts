/** What of admission policies needs the expression language: imported when the first policy comes. */
export { compilePolicy } from './environment.ts';
export { mutated } from './mutating.ts';
export { enforce, failure, judge, refusal } from './validating.ts';
