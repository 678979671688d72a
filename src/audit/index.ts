/**
 * What is written down about requests: the record, where it goes, and which requests are recorded at which level.
 *
 * The shape is `audit.k8s.io/v1` Event. Today there is the level `None` alone: the request pipeline has its place for a sink, and
 * nothing is recorded. Sinks must not throw and must not hold a request up.
 */
export * from './audit.ts';
