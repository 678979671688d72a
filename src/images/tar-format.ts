/** What reader and writer of tar archives agree on (POSIX ustar and pax, GNU's long names). */
export const blockBytes = 512;

export type TarEntryType = 'file' | 'directory' | 'symlink' | 'link' | 'char' | 'block' | 'fifo';

/**
 * What an entry says of itself. Names are byte strings (one char a byte, latin1), since file names need not be UTF-8;
 * `toText` gives the text. Attribute values are bytes.
 */
export interface TarHeader {
  name: string;
  type: TarEntryType;
  /** Permission bits with set-uid, set-gid and sticky. */
  mode: number;
  uid: number;
  gid: number;
  sizeBytes: number;
  /** Seconds since the epoch, with fractions. */
  mtime: number;
  /** Target of symlinks and hard links, a byte string. */
  linkName: string;
  devMajor: number;
  devMinor: number;
  xattrs: ReadonlyMap<string, Buffer>;
}

export const typeFlags: Record<TarEntryType, string> = {
  file: '0',
  link: '1',
  symlink: '2',
  char: '3',
  block: '4',
  directory: '5',
  fifo: '6',
};

/** The pax prefix of extended attributes. */
export const xattrPrefix = 'SCHILY.xattr.';

/** Byte string to text. */
export function toText(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

/** Text to byte string. */
export function fromText(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** Bytes that fill the last block. */
export function paddingOf(sizeBytes: number): number {
  return (blockBytes - (sizeBytes % blockBytes)) % blockBytes;
}
