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
export function listElements(name: string, family: 'ip' | 'inet' = 'ip'): Record<string, number> {
  const { status, stdout } = spawnSync('nft', ['-j', 'list', 'table', family, name], { encoding: 'utf8', maxBuffer: 64 << 20 });
  if (status !== 0) return {}; // it went away meanwhile
  const counts: Record<string, number> = {};
  const prefix = family === 'ip' ? '' : `${family} `;
  for (const { chain, rule, set, map } of (JSON.parse(stdout) as Listed).nftables) {
    if (chain) counts[`${prefix}chain ${chain.name}`] = 0;
    if (rule) counts[`${prefix}chain ${rule.chain}`] = (counts[`${prefix}chain ${rule.chain}`] ?? 0) + 1;
    const holder = set ?? map;
    if (holder) counts[`${prefix}${set ? 'set' : 'map'} ${holder.name}`] = holder.elem?.length ?? 0;
  }
  return counts;
}
