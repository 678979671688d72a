import type { PolicyRule } from '#kinds/types.gen.ts';

export const READ = 'get list watch';
export const WRITE = 'create delete deletecollection patch update';

/** A rule from words: verbs, API groups (the core group is the empty word), resources. */
export function allow(verbs: string, groups: string, resources: string, resourceNames?: string): PolicyRule {
  const rule = { apiGroups: groups.split(' '), resources: resources.split(' '), verbs: verbs.split(' ') };
  return resourceNames === undefined ? rule : { ...rule, resourceNames: resourceNames.split(' ') };
}

export function allowPaths(verbs: string, paths: string): PolicyRule {
  return { nonResourceURLs: paths.split(' '), verbs: verbs.split(' ') };
}

/** Every component says what it did. */
export const EVENTS = allow('create patch update', ' events.k8s.io', 'events');
