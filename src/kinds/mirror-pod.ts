/** Says that a Pod only shows what runs on its node anyway: nobody starts it there. */
export const MIRROR = 'kubernetes.io/config.mirror';

/** Where docker's containers are shown. */
export const MIRROR_NAMESPACE = 'docker';

/** The docker container that a mirror Pod shows. */
export const MIRRORED_CONTAINER = 'umiak.io/docker-container';

/** The docker container that a Pod shows; undefined for one that a node is to run. */
export function mirroredContainerOf({ metadata }: { metadata: { annotations?: Record<string, string> | undefined } }): string | undefined {
  return metadata.annotations?.[MIRROR] === undefined ? undefined : metadata.annotations[MIRRORED_CONTAINER];
}
