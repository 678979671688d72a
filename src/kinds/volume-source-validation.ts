import type { FieldCause } from '#base/errors.ts';
import type * as types from './types.gen.ts';
import { checkDnsLabel, checkDnsSubdomain, invalid, required, tooLong, validateEnum } from './validation.ts';

/** What each source can't be without: paths within it. */
const NEEDED: Partial<Record<keyof types.Volume, readonly string[]>> = {
  awsElasticBlockStore: ['volumeID'],
  azureDisk: ['diskName', 'diskURI'],
  azureFile: ['secretName', 'shareName'],
  cephfs: ['monitors'],
  cinder: ['volumeID'],
  flexVolume: ['driver'],
  gcePersistentDisk: ['pdName'],
  gitRepo: ['repository'],
  glusterfs: ['endpoints', 'path'],
  iscsi: ['targetPortal'],
  photonPersistentDisk: ['pdID'],
  portworxVolume: ['volumeID'],
  quobyte: ['volume'],
  rbd: ['monitors', 'image'],
  scaleIO: ['gateway', 'system', 'volumeName'],
  storageos: ['volumeName'],
  vsphereVolume: ['volumePath'],
};

/** The sources that are other machines' and drivers'. Nothing here mounts most of them, yet what they say must make sense. */
export function validateRemoteSource(volume: types.Volume, at: string): FieldCause[] {
  const causes: FieldCause[] = [];
  for (const [source, fields] of Object.entries(NEEDED)) {
    const given = volume[source as keyof types.Volume] as Record<string, unknown> | undefined;
    for (const field of given ? fields : []) {
      const value = given?.[field];
      if (!value || (Array.isArray(value) && value.length === 0)) causes.push(required(`${at}.${source}.${field}`));
    }
  }
  const { gcePersistentDisk, awsElasticBlockStore, gitRepo, iscsi, fc, flocker, quobyte, storageos, azureDisk, cinder, csi, image } =
    volume;
  for (const [source, given] of Object.entries({ gcePersistentDisk, awsElasticBlockStore }))
    if (given) causes.push(...validateRange(given.partition, 0, 255, `${at}.${source}.partition`, 'must be between 1 and 255, inclusive'));
  if (gitRepo?.directory) causes.push(...validateDescending(gitRepo.directory, `${at}.gitRepo.directory`));
  if (iscsi) causes.push(...validateIscsi(iscsi, `${at}.iscsi`));
  if (fc) causes.push(...validateFibreChannel(fc, `${at}.fc`));
  if (flocker) causes.push(...validateFlocker(flocker, `${at}.flocker`));
  if (quobyte) causes.push(...validateQuobyte(quobyte, `${at}.quobyte`));
  if (azureDisk) causes.push(...validateAzureDisk(azureDisk, `${at}.azureDisk`));
  if (cinder?.secretRef && !cinder.secretRef.name) causes.push(required(`${at}.cinder.secretRef.name`));
  for (const key of ['volumeName', 'volumeNamespace'] as const) {
    const name = storageos?.[key];
    if (name) causes.push(...checkDnsLabel(name).map(why => invalid(`${at}.storageos.${key}`, name, why)));
  }
  if (csi) causes.push(...validateCsi(csi, `${at}.csi`));
  if (image) {
    if (!image.reference) causes.push(required(`${at}.image.reference`));
    causes.push(...validateEnum(image.pullPolicy, ['Always', 'IfNotPresent', 'Never'], `${at}.image.pullPolicy`));
  }
  return causes;
}

function validateIscsi({ iqn, lun, chapAuthDiscovery, chapAuthSession, secretRef, initiatorName }: types.ISCSIVolumeSource, at: string) {
  const causes: FieldCause[] = [];
  const check = (name: string, field: string) => {
    const form = { iqn: /iqn\.\d{4}-\d{2}\.([A-Za-z0-9.-]+)(:[^,;*&$|\s]+)$/, eui: /^eui.[A-Za-z0-9]{16}$/, naa: /^naa.[A-Za-z0-9]{32}$/ }[
      name.slice(0, 3)
    ];
    if (!form) causes.push(invalid(field, name, 'must be valid format starting with iqn, eui, or naa'));
    else if (!form.test(name)) causes.push(invalid(field, name, 'must be valid format'));
  };
  if (iqn) check(iqn, `${at}.iqn`);
  else causes.push(required(`${at}.iqn`));
  causes.push(...validateRange(lun, 0, 255, `${at}.lun`));
  if ((chapAuthDiscovery || chapAuthSession) && !secretRef) causes.push(required(`${at}.secretRef`));
  if (initiatorName) check(initiatorName, `${at}.initiatorname`);
  return causes;
}

function validateFibreChannel({ targetWWNs = [], wwids = [], lun }: types.FCVolumeSource, at: string): FieldCause[] {
  const causes: FieldCause[] = [];
  if (targetWWNs.length === 0 && wwids.length === 0)
    causes.push(required(`${at}.targetWWNs`, 'must specify either targetWWNs or wwids, but not both'));
  if (targetWWNs.length === 0) return causes;
  if (wwids.length > 0) causes.push(invalid(`${at}.targetWWNs`, targetWWNs, 'targetWWNs and wwids can not be specified simultaneously'));
  if (lun === undefined) causes.push(required(`${at}.lun`, 'lun is required if targetWWNs is specified'));
  else causes.push(...validateRange(lun, 0, 255, `${at}.lun`));
  return causes;
}

function validateFlocker({ datasetName = '', datasetUUID = '' }: types.FlockerVolumeSource, at: string): FieldCause[] {
  const causes: FieldCause[] = [];
  if (!datasetName && !datasetUUID) causes.push(required(at, 'one of datasetName and datasetUUID is required'));
  if (datasetName && datasetUUID) causes.push(invalid(at, 'resource', 'datasetName and datasetUUID can not be specified simultaneously'));
  if (datasetName.includes('/')) causes.push(invalid(`${at}.datasetName`, datasetName, "must not contain '/'"));
  return causes;
}

function validateQuobyte({ registry, tenant = '' }: types.QuobyteVolumeSource, at: string): FieldCause[] {
  const causes: FieldCause[] = [];
  const pairs = 'must be a host:port pair or multiple pairs separated by commas';
  if (!registry) causes.push(required(`${at}.registry`, pairs));
  else if (tenant.length >= 65) causes.push(required(`${at}.tenant`, 'must be a UUID and may not exceed a length of 64 characters'));
  else for (const pair of registry.split(',')) if (!/^[^:]*:[^:]*$/.test(pair)) causes.push(invalid(`${at}.registry`, registry, pairs));
  return causes;
}

function validateAzureDisk({ diskURI, cachingMode, kind }: types.AzureDiskVolumeSource, at: string): FieldCause[] {
  const causes = validateEnum(cachingMode, ['None', 'ReadOnly', 'ReadWrite'], `${at}.cachingMode`);
  causes.push(...validateEnum(kind, ['Dedicated', 'Managed', 'Shared'], `${at}.kind`));
  if (kind === 'Managed' && diskURI && !diskURI.startsWith('/subscriptions/'))
    causes.push(
      ...validateEnum(
        diskURI,
        ['/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}'],
        `${at}.diskURI`,
      ),
    );
  return causes;
}

function validateCsi({ driver, nodePublishSecretRef }: types.CSIVolumeSource, at: string): FieldCause[] {
  const causes = validateDriverName(driver, `${at}.driver`);
  if (nodePublishSecretRef && !nodePublishSecretRef.name) causes.push(required(`${at}.nodePublishSecretRef.name`));
  return causes;
}

/** The name of a CSI driver: a domain of at most 63 characters. */
export function validateDriverName(driver: string, field: string): FieldCause[] {
  if (!driver) return [required(field)];
  const causes = driver.length > 63 ? [tooLong(field, 63)] : [];
  return [...causes, ...checkDnsSubdomain(driver.toLowerCase()).map(why => invalid(field, driver, why))];
}

function validateDescending(path: string, field: string): FieldCause[] {
  const causes = path.startsWith('/') ? [invalid(field, path, 'must be a relative path')] : [];
  return path.split('/').includes('..') ? [...causes, invalid(field, path, "must not contain '..'")] : causes;
}

function validateRange(
  value: number | undefined,
  least: number,
  most: number,
  field: string,
  why = `must be between ${least} and ${most}, inclusive`,
) {
  return value === undefined || (value >= least && value <= most) ? [] : [invalid(field, value, why)];
}
