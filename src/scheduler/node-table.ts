import { quantityMilliValue, quantityValue } from '#base/index.ts';
import type { Node } from '#kinds/node.ts';

/** What a pod asks for, in the table's units: milli-CPUs, bytes, pods. */
export interface Request {
  cpuMilli: number;
  memoryBytes: number;
  ephemeralBytes: number;
  /** The same when nodes are compared: containers that ask for nothing count a little. */
  scoreCpuMilli: number;
  scoreMemoryBytes: number;
  /** `nvidia.com/gpu` and the like. */
  extended: ReadonlyMap<string, number>;
  /** `0.0.0.0/TCP/80`: host addresses and ports. */
  hostPorts: readonly string[];
  /** Places of the node's `pods`: none for one that only shows what docker runs. */
  places: 0 | 1;
}

/** The rows' numbers lie in typed arrays, so that a filter over thousands of nodes touches few cache lines; the rest beside them. */
export class NodeTable {
  #capacity = 0;
  readonly #rows = new Map<string, number>();
  readonly #free: number[] = [];
  readonly nodes: (Node | undefined)[] = [];
  readonly hostPorts: Map<string, number>[] = [];
  readonly extendedUsed: Map<string, number>[] = [];
  /** Sizes in bytes of the images that lie on a node. */
  readonly images: (ReadonlyMap<string, number> | undefined)[] = [];
  /** On how many nodes an image lies. */
  readonly imageNodes = new Map<string, number>();
  cpuCapacity = new Float64Array(0);
  cpuUsed = new Float64Array(0);
  memoryCapacity = new Float64Array(0);
  memoryUsed = new Float64Array(0);
  ephemeralCapacity = new Float64Array(0);
  ephemeralUsed = new Float64Array(0);
  scoreCpuUsed = new Float64Array(0);
  scoreMemoryUsed = new Float64Array(0);
  podCapacity = new Int32Array(0);
  podsUsed = new Int32Array(0);

  /** Rows in use are below this; some of them may be empty (`nodes[row]` undefined). */
  get length(): number {
    return this.nodes.length;
  }

  get size(): number {
    return this.#rows.size;
  }

  rowOf(name: string): number | undefined {
    return this.#rows.get(name);
  }

  /** Takes in a node's present state; what its pods use stays. */
  put(node: Node): number {
    const { name } = node.metadata;
    const row = this.#rows.get(name) ?? this.#free.pop() ?? this.nodes.length;
    if (row >= this.#capacity) this.#grow();
    if (!this.#rows.has(name)) this.#clear(row);
    this.#rows.set(name, row);
    this.nodes[row] = node;
    const {
      cpu = '0',
      memory = '0',
      pods = '0',
      'ephemeral-storage': ephemeral = '0',
    } = node.status?.allocatable ?? node.status?.capacity ?? {};
    this.cpuCapacity[row] = quantityMilliValue(cpu);
    this.memoryCapacity[row] = quantityValue(memory);
    this.podCapacity[row] = quantityValue(pods);
    this.ephemeralCapacity[row] = quantityValue(ephemeral);
    this.#putImages(row, node);
    return row;
  }

  remove(name: string): void {
    const row = this.#rows.get(name);
    if (row === undefined) return;
    this.#rows.delete(name);
    this.#putImages(row, undefined);
    this.nodes[row] = undefined;
    this.#free.push(row);
  }

  /** Adds (`sign` 1) or takes away (-1) what a pod uses on the node in `row`. */
  use(row: number, request: Request, sign: 1 | -1): void {
    this.cpuUsed[row]! += sign * request.cpuMilli;
    this.memoryUsed[row]! += sign * request.memoryBytes;
    this.ephemeralUsed[row]! += sign * request.ephemeralBytes;
    this.scoreCpuUsed[row]! += sign * request.scoreCpuMilli;
    this.scoreMemoryUsed[row]! += sign * request.scoreMemoryBytes;
    this.podsUsed[row]! += sign * request.places;
    for (const [name, amount] of request.extended) addTo(this.extendedUsed[row]!, name, sign * amount);
    for (const port of request.hostPorts) addTo(this.hostPorts[row]!, port, sign);
  }

  extendedFree(row: number, name: string): number {
    const capacity = this.nodes[row]?.status?.allocatable?.[name];
    return (capacity === undefined ? 0 : quantityValue(capacity)) - (this.extendedUsed[row]?.get(name) ?? 0);
  }

  /** A heartbeat brings the same images: then nothing is done. */
  #putImages(row: number, node: Node | undefined): void {
    const listed = node?.status?.images ?? [];
    const before = this.images[row];
    if (before === undefined && listed.length === 0) return;
    const next = new Map<string, number>();
    for (const { names = [], sizeBytes = 0 } of listed) for (const name of names) next.set(name, Number(sizeBytes));
    for (const name of before?.keys() ?? []) if (!next.has(name)) addTo(this.imageNodes, name, -1);
    for (const name of next.keys()) if (!before?.has(name)) addTo(this.imageNodes, name, 1);
    this.images[row] = next.size > 0 ? next : undefined;
  }

  #clear(row: number): void {
    for (const column of [this.cpuUsed, this.memoryUsed, this.ephemeralUsed, this.scoreCpuUsed, this.scoreMemoryUsed]) column[row] = 0;
    this.podsUsed[row] = 0;
    this.hostPorts[row] = new Map();
    this.extendedUsed[row] = new Map();
  }

  #grow(): void {
    this.#capacity = Math.max(16, this.#capacity * 2);
    const wider = (column: Float64Array<ArrayBuffer>) => {
      const next = new Float64Array(this.#capacity);
      next.set(column);
      return next;
    };
    const widerCounts = (column: Int32Array<ArrayBuffer>) => {
      const next = new Int32Array(this.#capacity);
      next.set(column);
      return next;
    };
    this.cpuCapacity = wider(this.cpuCapacity);
    this.cpuUsed = wider(this.cpuUsed);
    this.memoryCapacity = wider(this.memoryCapacity);
    this.memoryUsed = wider(this.memoryUsed);
    this.ephemeralCapacity = wider(this.ephemeralCapacity);
    this.ephemeralUsed = wider(this.ephemeralUsed);
    this.scoreCpuUsed = wider(this.scoreCpuUsed);
    this.scoreMemoryUsed = wider(this.scoreMemoryUsed);
    this.podCapacity = widerCounts(this.podCapacity);
    this.podsUsed = widerCounts(this.podsUsed);
  }
}

function addTo(counts: Map<string, number>, key: string, amount: number): void {
  const next = (counts.get(key) ?? 0) + amount;
  if (next === 0) counts.delete(key);
  else counts.set(key, next);
}
