/**
 * The ground floor: time, ids, errors, log, quantities, label selectors, queues.
 *
 * Pure or nearly so; imports nothing of ours. What stands here is used by several domains and belongs to none.
 * - `errors.ts`   the one error class and Kubernetes' closed set of reasons
 * - `clock.ts`    wall and monotonic time, timers; `ManualClock` for tests
 * - `ids.ts`      UIDs, name suffixes, container ids, a seeded generator
 * - `log.ts`      structured lines on stderr
 * - `spent.ts`    long bodies chunk by chunk, the memory of each given back as it has gone by
 */
export * from './clock.ts';
export * from './errors.ts';
export * from './field-selector.ts';
export * from './ids.ts';
export * from './json-object.ts';
export * from './label-selector.ts';
export * from './log.ts';
export * from './quantity.ts';
