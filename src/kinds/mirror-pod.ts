/** Says that a Pod only shows what runs on its node anyway: nobody starts it there. */
export const MIRROR = 'kubernetes.io/config.mirror';

/** Where docker's containers are shown. */
export const MIRROR_NAMESPACE = 'docker';

/** The docker container that a mirror Pod shows. */
export const MIRRORED_CONTAINER = 'umiak.io/docker-container';

interface Named {
  metadata: { namespace?: string | undefined; annotations?: Record<string, string> | undefined };
}

/**
 * The docker container that a Pod shows; undefined for one that a node is to run. Only in the namespace for them: who may make Pods elsewhere
 * must not get at docker's containers by an annotation.
 */
export function mirroredContainerOf({ metadata: { namespace, annotations } }: Named): string | undefined {
  return namespace !== MIRROR_NAMESPACE || annotations?.[MIRROR] === undefined ? undefined : annotations[MIRRORED_CONTAINER];
}
