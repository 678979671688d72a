import { spawnSync } from 'node:child_process';

/** Tables as `nft list tables` prints them; none where there is no nftables. */
export function listTables(): string[] {
  const { status, stdout, error } = spawnSync('nft', ['list', 'tables'], { encoding: 'utf8' });
  return error || status !== 0 ? [] : stdout.trim().split('\n');
}

interface Listed {
  nftables: { chain?: { name: string }; rule?: { chain: string }; set?: Named; map?: Named }[];
}

interface Named {
  name: string;
  elem?: unknown[];
}

/** How many rules each chain of an instance's table has, and how many elements each set and map. */
export function listElements(instance: string): Record<string, number> {
  const { status, stdout } = spawnSync('nft', ['-j', 'list', 'table', 'ip', instance], { encoding: 'utf8', maxBuffer: 64 << 20 });
  if (status !== 0) return {}; // it went away meanwhile
  const counts: Record<string, number> = {};
  for (const { chain, rule, set, map } of (JSON.parse(stdout) as Listed).nftables) {
    if (chain) counts[`chain ${chain.name}`] = 0;
    if (rule) counts[`chain ${rule.chain}`] = (counts[`chain ${rule.chain}`] ?? 0) + 1;
    const holder = set ?? map;
    if (holder) counts[`${set ? 'set' : 'map'} ${holder.name}`] = holder.elem?.length ?? 0;
  }
  return counts;
}
