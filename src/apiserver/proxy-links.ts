import { Transform, type TransformCallback } from 'node:stream';
import { type ProxyTarget, rewriteLocation } from './http-proxy-plan.ts';

/** Attributes of HTML that hold an address. */
const ADDRESSES = 'action|background|cite|classid|codebase|data|formaction|href|icon|longdesc|manifest|poster|profile|src|usemap';
const TAG = /<[a-zA-Z](?:"[^"]*"|'[^']*'|[^'">])*>/g;
const ADDRESS = new RegExp(`(\\s(?:${ADDRESSES})\\s*=\\s*)("[^"]*"|'[^']*'|[^\\s"'>]+)`, 'gi');
/** A tag that is longer is passed on as it is. */
const MOST_TAG_BYTES = 64 * 1024;

/** True for pages whose links must lead through the proxy, too. */
export function isPage(contentType: string | undefined): boolean {
  return /^text\/html\s*(;|$)/i.test(contentType ?? '');
}

/** The page with its links to the target's own paths put below `base`, where the proxy serves them. Pure. */
export function rewriteLinks(page: string, target: ProxyTarget, base: string): string {
  return page.replace(TAG, tag =>
    tag.replace(ADDRESS, (_all, name: string, text: string) => {
      const quote = /^["']/.exec(text)?.[0] ?? '';
      return `${name}${quote}${rewriteLink(quote ? text.slice(1, -1) : text, target, base)}${quote}`;
    }),
  );
}

/** Places within a page and addresses that begin nowhere stay. */
function rewriteLink(link: string, target: ProxyTarget, base: string): string {
  return /^(\/(?!\/)|https?:)/i.test(link) ? rewriteLocation(link, target, base) : link;
}

/** `rewriteLinks` of a page that comes in pieces, byte by byte the same but for the links. */
export class LinkRewriter extends Transform {
  readonly #target: ProxyTarget;
  readonly #base: string;
  #rest = '';

  constructor(target: ProxyTarget, base: string) {
    super();
    this.#target = target;
    this.#base = base;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    // One character a byte: what is no link goes out as it came, whatever its encoding.
    const text = this.#rest + chunk.toString('latin1');
    const open = text.lastIndexOf('<');
    const isOpen = open >= 0 && text.indexOf('>', open) < 0 && text.length - open < MOST_TAG_BYTES;
    const whole = isOpen ? text.slice(0, open) : text;
    this.#rest = text.slice(whole.length);
    done(null, Buffer.from(rewriteLinks(whole, this.#target, this.#base), 'latin1'));
  }

  override _flush(done: TransformCallback): void {
    done(null, Buffer.from(rewriteLinks(this.#rest, this.#target, this.#base), 'latin1'));
  }
}
