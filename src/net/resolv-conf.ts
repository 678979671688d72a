/** What a resolv.conf says, line by line. Pure. */
export function parseResolvConf(text: string): { servers: string[]; searches: string[]; options: string[] } {
  const words = (keyword: string) =>
    [...text.matchAll(new RegExp(`^[ \\t]*${keyword}[ \\t]+(.+)$`, 'gm'))].flatMap(match => (match[1] ?? '').trim().split(/\s+/));
  return { servers: words('nameserver'), searches: words('search'), options: words('options') };
}
