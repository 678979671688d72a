const RTF_GATEWAY = 0x0002;
const RTF_ADDRCONF = 0x0004_0000;

/**
 * Links whose default route a router has advertised, by the text of `/proc/net/ipv6_route`. A machine that begins to forward believes no
 * advertisement any more, and loses that route when its lifetime ends, unless `accept_ra` is 2. Pure.
 */
export function linksByAdvertisement(routes: string): string[] {
  const found = routes.split('\n').flatMap(line => {
    const [, prefixLength, , , , , , , flags = '', link = ''] = line.trim().split(/\s+/);
    const has = (flag: number) => (Number.parseInt(flags, 16) & flag) !== 0;
    return prefixLength === '00' && has(RTF_GATEWAY) && has(RTF_ADDRCONF) && link !== '' ? [link] : [];
  });
  return [...new Set(found)];
}
