import { newNameSuffix } from '#base/ids.ts';
import type { Container, Pod, ServiceAccount, Volume } from '#kinds/types.gen.ts';
import { cacheKeyOf, type Stored } from '../resources.ts';
import { forbidden } from '../status.ts';
import type { StoredObject } from '../stored-object.ts';
import type { AdmissionPlugin, Write } from '../write.ts';

/** Where programs look for their token. */
const MOUNT_PATH = '/var/run/secrets/kubernetes.io/serviceaccount';
const VOLUME_PREFIX = 'kube-api-access-';
/** How long a pod's creation waits for the account of a namespace that was just made. */
const PATIENCE_MS = 1000;
const MIRROR = 'kubernetes.io/config.mirror';

/** Gives pods their service account, its image pull secrets and its token. */
export function serviceAccountAdmission(pods: Stored, accounts: Stored): AdmissionPlugin {
  return {
    name: 'ServiceAccount',
    mutate(write) {
      if (write.operation !== 'CREATE' || write.served.cache !== pods.cache) return;
      const pod = write.object as Pod;
      if (pod.metadata.annotations?.[MIRROR] !== undefined) return;
      const { spec } = pod;
      const name = spec.serviceAccountName || 'default';
      spec.serviceAccountName = name;
      spec.serviceAccount = name;
      const account = accounts.cache.get(cacheKeyOf(write.namespace, name));
      if (account) return giveAccount(pod, account.object<ServiceAccount>());
      return appearing(accounts, cacheKeyOf(write.namespace, name)).then(late => {
        if (!late) throw missing(pods, write, name);
        giveAccount(pod, late.object<ServiceAccount>());
      });
    },
  };
}

/** What the account means for a pod. Changes `pod`. */
function giveAccount({ spec }: Pod, account: ServiceAccount): void {
  if (!spec.imagePullSecrets?.length && account.imagePullSecrets?.length)
    spec.imagePullSecrets = account.imagePullSecrets.map(({ name }) => ({ ...(name !== undefined && { name }) }));
  if (!(spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true)) return;
  const present = spec.volumes?.find(volume => volume.name.startsWith(VOLUME_PREFIX));
  const name = present?.name ?? VOLUME_PREFIX + newNameSuffix();
  let used = false;
  for (const container of [...(spec.initContainers ?? []), ...spec.containers]) used = mount(container, name) || used;
  if (used && !present) spec.volumes = [...(spec.volumes ?? []), tokenVolume(name)];
}

function mount(container: Container, name: string): boolean {
  if (container.volumeMounts?.some(({ mountPath }) => mountPath === MOUNT_PATH)) return false;
  container.volumeMounts = [...(container.volumeMounts ?? []), { name, mountPath: MOUNT_PATH, readOnly: true }];
  return true;
}

function tokenVolume(name: string): Volume {
  return {
    name,
    projected: {
      defaultMode: 0o644,
      sources: [
        { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        { downwardAPI: { items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }] } },
      ],
    },
  };
}

function missing(pods: Stored, { namespace, name }: Write, account: string): Error {
  return forbidden(pods.resource, name, `error looking up service account ${namespace}/${account}: serviceaccount "${account}" not found`);
}

/** The object once somebody makes it, or undefined when nobody does in time. */
function appearing({ cache }: Stored, key: string): Promise<StoredObject | undefined> {
  return new Promise(resolve => {
    const done = (object: StoredObject | undefined) => {
      clearTimeout(timer);
      listening[Symbol.dispose]();
      resolve(object);
    };
    const timer = setTimeout(done, PATIENCE_MS, undefined);
    const listening = cache.listen(() => {
      const object = cache.get(key);
      if (object) done(object);
    });
  });
}
