import type { Kind, KubeObject } from '#kinds/kind.ts';

/** An object as the store holds it, with its revision. Its text starts with the layout's head and bears no resourceVersion. */
export class StoredObject {
  /** `namespace/name`, or the name alone. */
  readonly key: string;
  readonly layout: Layout;
  readonly value: Buffer;
  readonly revision: number;
  #projection: Projection | undefined;
  #encoded: Record<string, Buffer> | undefined;

  constructor(layout: Layout, key: string, value: Uint8Array, revision: number) {
    this.layout = layout;
    this.key = key;
    this.value = layout.normalize(value);
    this.revision = revision;
  }

  /** A fresh parsed copy, the caller's to change. */
  object<T extends KubeObject = KubeObject>(): T {
    const object = JSON.parse(this.value.toString()) as T;
    object.metadata.resourceVersion = String(this.revision);
    return object;
  }

  /** The same object under another revision: what a DELETED event shows. */
  at(revision: number): StoredObject {
    return new StoredObject(this.layout, this.key, this.value, revision);
  }

  /** What selectors look at, parsed once. */
  get projection(): Projection {
    this.#projection ??= projectionOf(this.object(), this.layout.selectableFields);
    return this.#projection;
  }

  /** Bytes of another form of the object, made by whoever asks first. `form` names the version and the encoding. */
  encodedAs(form: string, encode: (stored: this) => Buffer): Buffer {
    this.#encoded ??= {};
    const bytes = this.#encoded[form] ?? encode(this);
    this.#encoded[form] = bytes;
    return bytes;
  }

  /** The object's JSON with its resourceVersion. */
  json(): Buffer {
    return this.#wrapped(this.layout.head, NOTHING);
  }

  /** The JSON between the buffers of a watch event. */
  wrapped(before: Buffer, after: Buffer): Buffer {
    return this.#wrapped(Buffer.concat([before, this.layout.head]), after);
  }

  /** Writes the JSON as a list's item (without kind and apiVersion) into `target`; gives the end. `target` has `itemLength` bytes left. */
  writeItem(target: Buffer, at: number): number {
    const start = at + ITEM_HEAD.copy(target, at);
    const rv = start + target.write(`"resourceVersion":"${this.revision}",`, start, 'latin1');
    return rv + this.value.copy(target, rv, this.layout.head.length);
  }

  /** At most as many bytes as `writeItem` writes. */
  get itemLength(): number {
    return this.value.length + 64;
  }

  #wrapped(head: Buffer, after: Buffer): Buffer {
    const rv = `"resourceVersion":"${this.revision}",`;
    const skip = this.layout.head.length;
    const whole = Buffer.allocUnsafe(head.length + rv.length + this.value.length - skip + after.length);
    let at = head.copy(whole, 0);
    at += whole.write(rv, at, 'latin1');
    at += this.value.copy(whole, at, skip);
    after.copy(whole, at);
    return whole;
  }
}

const NOTHING = Buffer.alloc(0);
const ITEM_HEAD = Buffer.from('{"metadata":{');

/** Labels and the fields that selectors may name. */
export interface Projection {
  labels: Record<string, string> | undefined;
  fields: Record<string, string>;
}

/** How one stored resource is written: every object's text starts with the same head, so that the resourceVersion has a known place. */
export class Layout {
  readonly apiVersion: string;
  readonly kind: string;
  readonly head: Buffer;
  readonly selectableFields: Kind['selectableFields'];

  constructor(apiVersion: string, kind: string, selectableFields: Kind['selectableFields']) {
    this.apiVersion = apiVersion;
    this.kind = kind;
    this.head = Buffer.from(`{"kind":${JSON.stringify(kind)},"apiVersion":${JSON.stringify(apiVersion)},"metadata":{`);
    this.selectableFields = selectableFields;
  }

  /** The text to store. `metadata` has at least a name. */
  encode(object: KubeObject): Buffer {
    const { kind: _kind, apiVersion: _version, metadata, ...rest } = object;
    const { resourceVersion: _revision, selfLink: _link, ...meta } = metadata;
    return Buffer.from(JSON.stringify({ kind: this.kind, apiVersion: this.apiVersion, metadata: meta, ...rest }));
  }

  /** The value as a Buffer with our head, whoever wrote it. */
  normalize(value: Uint8Array): Buffer {
    const buffer = Buffer.isBuffer(value) ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    if (buffer.length > this.head.length && this.head.compare(buffer, 0, this.head.length) === 0) return buffer;
    return this.encode(JSON.parse(buffer.toString()) as KubeObject);
  }
}

/** What selectors may look at of an object of a kind with these fields. */
export function projectionOf(object: KubeObject, selectableFields: Kind['selectableFields'] = {}): Projection {
  const { name, namespace, labels } = object.metadata;
  const fields: Record<string, string> = { 'metadata.name': name ?? '', 'metadata.namespace': namespace ?? '' };
  for (const [path, value] of Object.entries(selectableFields)) fields[path] = value(object) ?? '';
  return { labels, fields };
}
