import type { PodSpec } from '#kinds/types.gen.ts';
import { baselineChecks } from './baseline-checks.ts';
import type { LevelVersion } from './policy.ts';
import { restrictedChecks } from './restricted-checks.ts';
import { type CheckedPod, toCheckedPod, type Violation } from './violations.ts';

/** One rule of the Pod Security Standards. Versions are the minor numbers of releases. */
export interface Check {
  id: string;
  since: number;
  /** A baseline check that `restricted` has a stricter one for, from that release on. */
  until?: { restricted: number };
  check(pod: CheckedPod, version: number): Violation | undefined;
}

/** The release whose checks `latest` means. */
const LATEST = 36;

/** What a pod (or a template's pod) breaks of a level. */
export function violationsOf({ level, version }: LevelVersion, metadata: CheckedPod['metadata'], spec: PodSpec): Violation[] {
  if (level === 'privileged') return [];
  const minor = version === 'latest' ? LATEST : Math.min(version, LATEST);
  const pod = toCheckedPod(metadata, spec);
  const isRestricted = level === 'restricted';
  const checks = [
    ...baselineChecks.filter(({ until }) => !isRestricted || !until || minor < until.restricted),
    ...(isRestricted ? restrictedChecks : []),
  ];
  return checks.flatMap(({ since, check }) => (minor >= since ? (check(pod, minor) ?? []) : []));
}

/** `reason (detail), reason (detail)` */
export function formatViolations(violations: readonly Violation[]): string {
  return violations.map(({ reason, detail }) => (detail ? `${reason} (${detail})` : reason)).join(', ');
}
