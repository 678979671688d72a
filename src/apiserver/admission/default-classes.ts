import type { KubeObject } from '#kinds/kind.ts';
import type { Ingress, PersistentVolumeClaim } from '#kinds/types.gen.ts';
import type { Stored } from '../resources.ts';
import type { AdmissionPlugin } from '../write.ts';

const BETA_CLASS = 'volume.beta.kubernetes.io/storage-class';
const INGRESS_CLASS = 'kubernetes.io/ingress.class';

/** A claim that names no storage class gets the cluster's default. */
export function defaultStorageClass(claims: Stored, classes: Stored): AdmissionPlugin {
  return {
    name: 'DefaultStorageClass',
    mutate(write) {
      if (write.operation !== 'CREATE' || write.served.cache !== claims.cache) return;
      const { metadata, spec } = write.object as PersistentVolumeClaim;
      if (spec.storageClassName !== undefined || metadata.annotations?.[BETA_CLASS] !== undefined) return;
      const name = defaultOf(classes, 'storageclass.kubernetes.io/is-default-class', 'storageclass.beta.kubernetes.io/is-default-class');
      if (name) spec.storageClassName = name;
    },
  };
}

/** An Ingress that names no class gets the cluster's default. */
export function defaultIngressClass(ingresses: Stored, classes: Stored): AdmissionPlugin {
  return {
    name: 'DefaultIngressClass',
    mutate(write) {
      if (write.operation !== 'CREATE' || write.served.cache !== ingresses.cache) return;
      const { metadata, spec } = write.object as Ingress;
      if (spec.ingressClassName !== undefined || metadata.annotations?.[INGRESS_CLASS] !== undefined) return;
      const name = defaultOf(classes, 'ingressclass.kubernetes.io/is-default-class');
      if (name) spec.ingressClassName = name;
    },
  };
}

/** The newest class that says it is the default; by name among equals. */
function defaultOf({ cache }: Stored, ...annotations: string[]): string | undefined {
  if (cache.size === 0) return undefined;
  const isDefault = ({ metadata }: KubeObject) => annotations.some(name => metadata.annotations?.[name] === 'true');
  const madeAt = ({ metadata }: KubeObject) => Date.parse(String(metadata.creationTimestamp));
  return [...cache.now.range('', '\uffff')]
    .map(stored => stored.object())
    .filter(isDefault)
    .sort((a, b) => madeAt(b) - madeAt(a) || (a.metadata.name < b.metadata.name ? -1 : 1))[0]?.metadata.name;
}
