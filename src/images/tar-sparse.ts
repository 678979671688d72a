import { blockBytes, paddingOf } from './tar-format.ts';
import { damaged, parseNumber } from './tar-header.ts';
import type { PaxRecords } from './tar-pax.ts';

/** Where the stored bytes of a sparse file lie in it; all between is zero. */
export interface SparseMap {
  /** Of the file with its holes. */
  sizeBytes: number;
  /** In ascending order, without overlaps. */
  pieces: readonly SparsePiece[];
}

export interface SparsePiece {
  offset: number;
  length: number;
}

const MAX_PIECES = 1 << 20;
/** Of the map at the beginning of the content, in the newest format. */
const MAX_MAP_BYTES = 1 << 22;

/** Gives whole blocks of the archive. */
type ReadBlock = () => Promise<Buffer>;

/** GNU's old format (type `S`): four pieces in the header, more in blocks behind it. @throws TarDamage */
export async function readOldSparse(header: Buffer, storedBytes: number, readBlock: ReadBlock): Promise<SparseMap> {
  const pieces: SparsePiece[] = [];
  takePieces(header.subarray(386, 482), pieces);
  for (let isMore = header[482] !== 0; isMore; ) {
    const block = await readBlock();
    takePieces(block.subarray(0, 504), pieces);
    isMore = block[504] !== 0;
  }
  return checked({ sizeBytes: parseNumber(header.subarray(483, 495), 'size'), pieces }, storedBytes);
}

/** Whether pax records speak of a sparse file. */
export function isSparse(records: ReadonlyMap<string, Buffer>): boolean {
  return records.has('GNU.sparse.major') || records.has('GNU.sparse.size') || records.has('GNU.sparse.map');
}

/**
 * The map by pax records: formats 0.0 (repeated keys), 0.1 (one key) and 1.0 (in front of the content, by `readBlock`).
 * `mapBytes` is what it took of the stored content. @throws TarDamage
 */
export async function readPaxSparse(
  list: PaxRecords,
  storedBytes: number,
  readBlock: ReadBlock,
): Promise<{ map: SparseMap; mapBytes: number }> {
  const records = new Map(list);
  const number = (key: string) => decimal(records.get(key)?.toString('latin1') ?? '');
  const isInContent = records.get('GNU.sparse.major')?.toString() === '1';
  if (isInContent) {
    const { pieces, mapBytes } = await readMap(storedBytes, readBlock);
    return { map: checked({ sizeBytes: number('GNU.sparse.realsize'), pieces }, storedBytes - mapBytes), mapBytes };
  }
  const listed = records.get('GNU.sparse.map')?.toString('latin1');
  const numbers =
    listed !== undefined
      ? listed.split(',').filter(part => part !== '')
      : list.filter(([key]) => key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes').map(([, value]) => value.toString('latin1'));
  const sizeBytes = number('GNU.sparse.size');
  return { map: checked({ sizeBytes, pieces: pair(numbers.map(decimal)) }, storedBytes), mapBytes: 0 };
}

async function readMap(storedBytes: number, readBlock: ReadBlock): Promise<{ pieces: SparsePiece[]; mapBytes: number }> {
  let [rest, mapBytes, wanted] = ['', 0, Number.POSITIVE_INFINITY];
  const numbers: number[] = [];
  while (numbers.length < wanted) {
    if (mapBytes >= Math.min(storedBytes, MAX_MAP_BYTES)) throw damaged('the map of a sparse file does not end');
    rest += (await readBlock()).toString('latin1');
    mapBytes += blockBytes;
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (numbers.length === wanted) break;
      if (wanted === Number.POSITIVE_INFINITY) wanted = 2 * decimal(line);
      else numbers.push(decimal(line));
    }
  }
  return { pieces: pair(numbers), mapBytes };
}

/** The pax records of a sparse file in the newest format, whose stored content begins with `sparseMapBlocks`. */
export function sparseRecords(name: string, { sizeBytes }: SparseMap): [key: string, value: string][] {
  return [
    ['GNU.sparse.major', '1'],
    ['GNU.sparse.minor', '0'],
    ['GNU.sparse.name', name],
    ['GNU.sparse.realsize', String(sizeBytes)],
  ];
}

/** The map as it stands in front of the pieces, whole blocks. */
export function sparseMapBlocks({ pieces }: SparseMap): Buffer {
  const text = [pieces.length, ...pieces.flatMap(({ offset, length }) => [offset, length])].map(number => `${number}\n`).join('');
  return Buffer.concat([Buffer.from(text, 'latin1'), Buffer.alloc(paddingOf(text.length))]);
}

function takePieces(bytes: Buffer, pieces: SparsePiece[]): void {
  for (let at = 0; at < bytes.length; at += 24) {
    if (bytes[at] === 0) return;
    const [offset, length] = [parseNumber(bytes.subarray(at, at + 12), 'offset'), parseNumber(bytes.subarray(at + 12, at + 24), 'length')];
    pieces.push({ offset, length });
  }
  if (pieces.length > MAX_PIECES) throw damaged('a sparse file of too many pieces');
}

function pair(numbers: readonly number[]): SparsePiece[] {
  if (numbers.length % 2 !== 0 || numbers.length > 2 * MAX_PIECES) throw damaged('the map of a sparse file is malformed');
  return Array.from({ length: numbers.length / 2 }, (_, i) => ({ offset: numbers[2 * i]!, length: numbers[2 * i + 1]! }));
}

function checked(map: SparseMap, storedBytes: number): SparseMap {
  let [end, stored] = [0, 0];
  for (const { offset, length } of map.pieces) {
    if (offset < end || length < 0) throw damaged('the pieces of a sparse file overlap');
    end = offset + length;
    stored += length;
  }
  if (!Number.isSafeInteger(map.sizeBytes) || end > map.sizeBytes) throw damaged('a sparse file has pieces beyond its end');
  if (stored !== storedBytes) throw damaged(`a sparse file has ${storedBytes} bytes; its map announces ${stored}`);
  return map;
}

function decimal(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw damaged('the map of a sparse file is malformed');
  return Number(text);
}
