import type { Kind, KubeObject } from '#kinds/kind.ts';

/** An object as the store holds it, with its revision. Its text starts with the layout's head and bears no resourceVersion. */
export class StoredObject {
  /** `namespace/name`, or the name alone. */
  readonly key: string;
  readonly layout: Layout;
  readonly revision: number;
  #value: Buffer;
  #isNormal: boolean;
  #projection: Projection | undefined;
  #encoded: Record<string, Buffer> | undefined;

  constructor(layout: Layout, key: string, value: Uint8Array, revision: number) {
    this.key = key;
    this.#value = Buffer.isBuffer(value) ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    this.layout = layout.of(this.#value);
    this.#isNormal = this.layout.isNormal(this.#value, revision);
    this.revision = revision;
  }

  /** The stored text in the layout's form. What was written in another is brought into it when first asked for. */
  get value(): Buffer {
    if (!this.#isNormal) {
      this.#value = this.layout.normalize(this.#value, this.revision);
      this.#isNormal = true;
    }
    return this.#value;
  }

  /** Bytes that it holds. */
  get size(): number {
    return this.#value.length;
  }

  /** The same object under another layout. */
  under(layout: Layout): StoredObject {
    return new StoredObject(layout, this.key, this.#value, this.revision);
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
  readonly #revive: Revive | undefined;

  constructor(apiVersion: string, kind: string, selectableFields: Kind['selectableFields'], revive?: Revive) {
    this.apiVersion = apiVersion;
    this.kind = kind;
    this.head = Buffer.from(`{"kind":${JSON.stringify(kind)},"apiVersion":${JSON.stringify(apiVersion)},"metadata":{`);
    this.selectableFields = selectableFields;
    this.#revive = revive;
  }

  /** The text to store, in memory of its own. `metadata` has at least a name. */
  encode(object: KubeObject): Buffer {
    const { kind: _kind, apiVersion: _version, metadata, ...rest } = object;
    const { resourceVersion: _revision, selfLink: _link, ...meta } = metadata;
    return toKeep(JSON.stringify({ kind: this.kind, apiVersion: this.apiVersion, metadata: meta, ...rest }));
  }

  /** The layout for this text; another where objects of several versions lie side by side. */
  of(_value: Buffer): Layout {
    return this;
  }

  /** True when the text has our head and was written by the rules of today. */
  isNormal(value: Buffer, revision: number): boolean {
    const isOurs = value.length > this.head.length && this.head.compare(value, 0, this.head.length) === 0;
    return isOurs && !(this.#revive && revision > 0 && revision <= this.#revive.before);
  }

  /** The text in our form, whoever wrote it. */
  normalize(value: Buffer, revision: number): Buffer {
    const object = JSON.parse(value.toString()) as KubeObject;
    if (this.#revive && revision <= this.#revive.before) this.#revive.apply(object);
    return this.encode(object);
  }
}

/** The bytes of a text that stays for long: not in node's pool, where they would keep 64 KiB of short-lived neighbours. */
function toKeep(text: string): Buffer {
  const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text));
  bytes.write(text);
  return bytes;
}

/** How objects written up to revision `before`, by another schema, come to look as today's: pruned and defaulted. */
export interface Revive {
  before: number;
  apply(object: KubeObject): void;
}

/** What selectors may look at of an object of a kind with these fields. */
export function projectionOf(object: KubeObject, selectableFields: Kind['selectableFields'] = {}): Projection {
  const { name, namespace, labels } = object.metadata;
  const fields: Record<string, string> = { 'metadata.name': name ?? '', 'metadata.namespace': namespace ?? '' };
  for (const [path, value] of Object.entries(selectableFields)) fields[path] = value(object) ?? '';
  return { labels, fields };
}
