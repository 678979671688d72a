import { createHash } from 'node:crypto';
import { type Clock, isUmiakError, type Log, messageOf, UmiakError } from '#base/index.ts';
import { WorkerCalls } from '#base/worker-calls.ts';
import { type Client, EventRecorder, fromStatus, type Transport } from '#client/index.ts';
import { ConfigMap } from '#kinds/config-map.ts';
import type { KubeObject } from '#kinds/kind.ts';
import type { ManifestReaderHandlers, ReadManifest } from './manifest-reader-worker.ts';

export interface ManifestApplierOptions {
  /** The absolute path of a manifest. */
  locate: (path: string) => string;
  transport: Transport;
  client: Client;
  clock: Clock;
  log: Log;
}

const FIELD_MANAGER = 'manifests';
/** Failures of one file that are told; they tend to have one cause. */
const MOST_TOLD = 5;
/** On objects: the file that they were applied from last. */
const MANIFEST_ANNOTATION = 'umiak.io/manifest';
/** What is missing is deleted only once the file has been the same for so long: it may be being written. */
const SETTLED_MS = 1_000;
/** The thread that reads files ends after so long without one. */
const IDLE_MS = 3_000;

/** An object as a record names it. */
export interface ObjectName {
  apiVersion: string;
  kind: string;
  namespace: string;
  name: string;
}

/** Brings the cluster's objects to what a manifest says. */
export class ManifestApplier implements AsyncDisposable {
  readonly #options: ManifestApplierOptions;
  readonly #events: EventRecorder;
  /** When the present content of a file was seen first. */
  readonly #seen = new Map<string, { checksum: string; atMs: number }>();
  #reader: WorkerCalls<ManifestReaderHandlers> | undefined;
  #idle: Disposable | undefined;

  constructor(options: ManifestApplierOptions) {
    this.#options = options;
    const { client, clock, log } = options;
    this.#events = new EventRecorder({ client, component: 'manifests', clock, log: log.part('events') });
  }

  /** Applies one file; a number: look again in so many milliseconds. @throws when something in it did not come through */
  async apply(path: string): Promise<number | undefined> {
    const record = await this.#record(path);
    try {
      return await this.#applyFile(path, record);
    } catch (error) {
      this.#events.warning(record, 'ApplyManifestFailed', `${path}: ${messageOf(error)}`);
      throw error;
    }
  }

  async #applyFile(path: string, record: ConfigMap): Promise<number | undefined> {
    const { log, clock } = this.#options;
    const { objects, checksum, bytes } = await this.#read(path);
    // A file without a byte is about to be written, or as good as removed.
    if (bytes === 0) return undefined;
    const places = new Places(this.#options.transport);
    const { present, failures } = await this.#applyObjects(path, objects, record, places);
    if (failures.length > 0) throw new UmiakError('Invalid', failures.slice(0, MOST_TOLD).join('; '));
    const stale = staleNames(namesIn(record), present);
    const first = this.#seen.get(path);
    if (first?.checksum !== checksum) this.#seen.set(path, { checksum, atMs: clock.monotonic() });
    const age = first?.checksum === checksum ? clock.monotonic() - first.atMs : 0;
    if (stale.length > 0 && age < SETTLED_MS) return SETTLED_MS - age;
    for (const name of stale) await this.#remove(path, name, places);
    const isNew = record.data?.checksum !== checksum;
    await this.#note(path, present, checksum);
    if (!isNew) return undefined;
    this.#events.normal(record, 'AppliedManifest', `${path}: ${present.length} objects applied, ${stale.length} deleted`);
    log.info('a manifest was applied', { file: path, objects: present.length, deleted: stale.length });
    return undefined;
  }

  async #applyObjects(path: string, objects: KubeObject[], record: ConfigMap, places: Places) {
    const named: { object: KubeObject; name: ObjectName }[] = [];
    const failures: string[] = [];
    const fail = ({ kind, metadata }: KubeObject, error: unknown) => failures.push(`${kind} ${metadata.name}: ${messageOf(error)}`);
    for (const object of objects)
      await places.nameOf(object).then(
        name => named.push({ object, name }),
        error => fail(object, error),
      );
    const present = named.map(({ name }) => name);
    // Noted before they are made, so that nothing that a killed server made is forgotten.
    const isKnown = staleNames(present, namesIn(record)).length === 0;
    if (!isKnown) await this.#note(path, [...staleNames(namesIn(record), present), ...present], record.data?.checksum ?? '');
    for (const { object, name } of named) await this.#applyObject(path, object, name, places).catch(error => fail(object, error));
    return { present, failures };
  }

  async #applyObject(path: string, object: KubeObject, name: ObjectName, places: Places): Promise<void> {
    const annotations = { ...object.metadata.annotations, [MANIFEST_ANNOTATION]: path };
    const metadata = { ...object.metadata, ...(name.namespace && { namespace: name.namespace }), annotations };
    const { status, body } = await this.#options.transport.request({
      method: 'PATCH',
      path: `${await places.pathOf(name)}?fieldManager=${FIELD_MANAGER}&force=true&fieldValidation=Strict`,
      body: { ...object, metadata },
      contentType: 'application/apply-patch+yaml',
    });
    if (status >= 400) throw fromStatus(body, status);
  }

  /** Deletes what the file holds no longer, unless another file or somebody else has it by now. */
  async #remove(path: string, name: ObjectName, places: Places): Promise<void> {
    const at = await places.pathOf(name).catch(error => {
      if (isUmiakError(error, 'NotFound')) return undefined;
      throw error;
    });
    if (at === undefined) return;
    const found = await this.#options.transport.request({ method: 'GET', path: at });
    const { metadata } = found.body as KubeObject;
    if (found.status === 404 || metadata.annotations?.[MANIFEST_ANNOTATION] !== path) return;
    if (found.status >= 400) throw fromStatus(found.body, found.status);
    const body = { kind: 'DeleteOptions', apiVersion: 'v1', propagationPolicy: 'Background', preconditions: { uid: metadata.uid } };
    const deleted = await this.#options.transport.request({ method: 'DELETE', path: at, body });
    if (deleted.status >= 400 && deleted.status !== 404) throw fromStatus(deleted.body, deleted.status);
  }

  async #record(path: string): Promise<ConfigMap> {
    const key = { namespace: 'kube-system', name: recordNameOf(path) };
    return (await this.#options.client.get(ConfigMap, key)) ?? (await this.#note(path, [], ''));
  }

  async #note(path: string, names: ObjectName[], checksum: string): Promise<ConfigMap> {
    const objects = names.map(name => `${keyOf(name)}\n`).join('');
    const metadata = { namespace: 'kube-system', name: recordNameOf(path) };
    const data = { file: path, objects, checksum };
    const { client } = this.#options;
    try {
      return await client.patch(ConfigMap, metadata, { data }, { type: 'merge' });
    } catch (error) {
      if (!isUmiakError(error, 'NotFound')) throw error;
      return client.create(ConfigMap, { apiVersion: 'v1', kind: 'ConfigMap', metadata, data });
    }
  }

  async #read(path: string): Promise<ReadManifest> {
    this.#idle?.[Symbol.dispose]();
    this.#reader ??= new WorkerCalls<ManifestReaderHandlers>(new URL('./manifest-reader-worker.ts', import.meta.url), {
      name: 'manifest-reader',
    });
    try {
      return await this.#reader.call('read', this.#options.locate(path));
    } finally {
      this.#idle = this.#options.clock.after(IDLE_MS, () => void this.#endReader());
    }
  }

  async #endReader(): Promise<void> {
    const reader = this.#reader;
    this.#reader = undefined;
    await reader?.[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#idle?.[Symbol.dispose]();
    await this.#endReader();
    await this.#events[Symbol.asyncDispose]();
  }
}

/** Where the API keeps objects, by what its discovery says now; asked once a version. */
class Places {
  readonly #transport: Transport;
  readonly #resources = new Map<string, Promise<{ name: string; kind: string; namespaced: boolean }[]>>();

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  async of(apiVersion: string, kind: string): Promise<{ name: string; namespaced: boolean }> {
    const resources = await this.#resources.getOrInsertComputed(apiVersion, () => this.#ask(apiVersion));
    const found = resources.find(each => each.kind === kind && !each.name.includes('/'));
    // A definition of the same file may be about to be served.
    if (!found) throw new UmiakError('NotFound', `there is no kind ${kind} in ${apiVersion}`);
    return found;
  }

  /** What a manifest's object is called; without a namespace it lies in `default`. */
  async nameOf({ apiVersion, kind, metadata }: KubeObject): Promise<ObjectName> {
    const { namespaced } = await this.of(apiVersion, kind);
    return { apiVersion, kind, namespace: namespaced ? metadata.namespace || 'default' : '', name: metadata.name };
  }

  async pathOf({ apiVersion, kind, namespace, name }: ObjectName): Promise<string> {
    const resource = await this.of(apiVersion, kind);
    const inside = resource.namespaced ? `namespaces/${encodeURIComponent(namespace)}/` : '';
    return `${rootOf(apiVersion)}/${inside}${resource.name}/${encodeURIComponent(name)}`;
  }

  async #ask(apiVersion: string): Promise<{ name: string; kind: string; namespaced: boolean }[]> {
    const { status, body } = await this.#transport.request({ method: 'GET', path: rootOf(apiVersion) });
    if (status === 404) return [];
    if (status >= 400) throw fromStatus(body, status);
    return (body as { resources: { name: string; kind: string; namespaced: boolean }[] }).resources;
  }
}

function rootOf(apiVersion: string): string {
  return `${apiVersion.includes('/') ? '/apis' : '/api'}/${apiVersion.split('/').map(encodeURIComponent).join('/')}`;
}

/** The name of a file's record in kube-system: readable, and its own. */
export function recordNameOf(path: string): string {
  const readable = path
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
  return `manifest-${readable.slice(0, 60)}-${createHash('sha256').update(path).digest('hex').slice(0, 8)}`;
}

function keyOf({ apiVersion, kind, namespace, name }: ObjectName): string {
  return `${apiVersion} ${kind} ${namespace}/${name}`;
}

function namesIn(record: ConfigMap): ObjectName[] {
  return (record.data?.objects ?? '').split('\n').flatMap(line => {
    const [, apiVersion, kind, namespace, name] = /^(\S+) (\S+) (\S*?)\/(\S+)$/.exec(line) ?? [];
    return apiVersion && kind && name ? [{ apiVersion, kind, namespace: namespace ?? '', name }] : [];
  });
}

/** What was applied once and is no longer named; one object under another version of its group is the same one. */
export function staleNames(before: ObjectName[], now: ObjectName[]): ObjectName[] {
  const identityOf = ({ apiVersion, ...name }: ObjectName) => keyOf({ ...name, apiVersion: apiVersion.replace(/\/?[^/]*$/, '') });
  const present = new Set(now.map(identityOf));
  return before.filter(name => !present.has(identityOf(name)));
}
