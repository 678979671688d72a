/**
 * What is written down about requests: the record, where it goes, and which requests are recorded at which level.
 *
 * The shapes are those of `audit.k8s.io/v1`: `record.ts` is its Event, `policy.ts` reads its Policy, `file-sink.ts` keeps records as
 * JSON lines. Without a policy nothing is recorded and no request pays for it. Sinks must not throw and must not hold a request up.
 */
export * from './file-sink.ts';
export * from './policy.ts';
export * from './record.ts';
