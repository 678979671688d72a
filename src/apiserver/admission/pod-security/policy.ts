import type { FieldCause } from '#base/errors.ts';
import { invalid } from '#kinds/field-errors.ts';

/** How much a pod may do. */
export type Level = 'privileged' | 'baseline' | 'restricted';

/** A level as a release of Kubernetes had it; `latest` follows ours. */
export interface LevelVersion {
  level: Level;
  version: 'latest' | number;
}

/** What a namespace asks for: refuse, write down, warn. */
export interface Policy {
  enforce: LevelVersion;
  audit: LevelVersion;
  warn: LevelVersion;
}

const PREFIX = 'pod-security.kubernetes.io/';
const MODES = ['enforce', 'audit', 'warn'] as const;
const LABELS = MODES.flatMap(mode => [`${PREFIX}${mode}`, `${PREFIX}${mode}-version`]);
const LEVELS: readonly Level[] = ['privileged', 'baseline', 'restricted'];
const VERSION = /^v1\.(0|[1-9]\d{0,2})$/;

/** Anything goes: what holds without labels. */
const PRIVILEGED: Policy = {
  enforce: { level: 'privileged', version: 'latest' },
  audit: { level: 'privileged', version: 'latest' },
  warn: { level: 'privileged', version: 'latest' },
};

/** True when a namespace says something about pod security. */
export function hasPolicy(labels: Record<string, string> | undefined): labels is Record<string, string> {
  return labels !== undefined && LABELS.some(label => labels[label] !== undefined);
}

/** The policy that labels ask for, and what is wrong with them. What can't be read is enforced as restricted, and otherwise has no effect. */
export function toPolicy(labels: Record<string, string> = {}): { policy: Policy; causes: FieldCause[] } {
  const causes: FieldCause[] = [];
  const policy = { ...PRIVILEGED };
  for (const mode of MODES) {
    const [level, version] = [labels[`${PREFIX}${mode}`], labels[`${PREFIX}${mode}-version`]];
    const read = { ...PRIVILEGED[mode] };
    if (level !== undefined) {
      if (LEVELS.includes(level as Level)) {
        read.level = level as Level;
        if (version === undefined) read.version = 'latest';
      } else {
        causes.push(invalid(`metadata.labels[${PREFIX}${mode}]`, level, 'must be one of privileged, baseline, restricted'));
        read.level = mode === 'enforce' ? 'restricted' : 'privileged';
        read.version = 'latest';
      }
    }
    if (version !== undefined) {
      const match = VERSION.exec(version);
      if (match) read.version = Number(match[1]);
      else {
        read.version = 'latest';
        if (version !== 'latest') causes.push(invalid(`metadata.labels[${PREFIX}${mode}-version]`, version, 'must be "latest" or "v1.x"'));
      }
    }
    policy[mode] = read;
  }
  return { policy, causes };
}

/** `restricted:latest`, `baseline:v1.25`. */
export function formatLevel({ level, version }: LevelVersion): string {
  return `${level}:${version === 'latest' ? version : `v1.${version}`}`;
}

/** True when `now` asks for more than `before`, or for it in another version. */
export function isStricter(now: LevelVersion, before: LevelVersion): boolean {
  if (now.level === 'privileged') return false;
  return now.version !== before.version || LEVELS.indexOf(now.level) > LEVELS.indexOf(before.level);
}
