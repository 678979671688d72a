import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '#base/clock.ts';
import { silentLog } from '#base/log.ts';
import { CniNetworks } from './cni-networks.ts';

/** What a plugin was called with. */
export interface PluginCallSeen {
  type: string;
  command: string;
  containerId: string;
  netns: string;
  ifName: string;
  args: string;
  config: Record<string, unknown>;
}

/** For tests: a plugin of that name writes down each call and then does what its script says; by default it adds `10.9.0.7`. */
const SCRIPT = `#!/bin/sh
here=\${0%/*}; type=\${0##*/}; call=$here/../calls/$(date +%s%N)-$type-$CNI_COMMAND
if [ "$CNI_COMMAND" = VERSION ]; then
  . "$here/$type.do"
  echo '{"cniVersion":"1.1.0","supportedVersions":["0.3.0","0.3.1","0.4.0","1.0.0","1.1.0"]}'
  exit
fi
cat >"$call.config"
printf '%s\\n' "$type" "$CNI_COMMAND" "$CNI_CONTAINERID" "$CNI_NETNS" "$CNI_IFNAME" "$CNI_ARGS" >"$call.call"
held=$here/../held-$type-$CNI_CONTAINERID
case $CNI_COMMAND in
  ADD) : >"$held" ;;
  DEL) rm -f "$held" ;;
esac
. "$here/$type.do"
[ "$CNI_COMMAND" = ADD ] || exit 0
echo '{"cniVersion":"VERSION","interfaces":[{"name":"eth0","sandbox":"/there"}],"ips":[{"address":"10.9.0.7/24","interface":0}],"dns":{}}' | sed "s/VERSION/$(sed -n 's/.*"cniVersion":"\\([0-9.]*\\)".*/\\1/p' "$call.config")/"
`;

/** A machine's CNI set-up in a directory of its own. */
export class TestPlugins implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), 'umiak-cni-'));
  readonly confDir = join(this.directory, 'net.d');
  readonly binDir = join(this.directory, 'bin');
  readonly cacheDir = join(this.directory, 'cache');

  constructor() {
    for (const name of ['net.d', 'bin', 'calls']) mkdirSync(join(this.directory, name));
  }

  /** Writes a plugin; `script` runs after the call was written down, and may exit by itself. */
  plugin(type: string, script = ''): void {
    writeFileSync(join(this.binDir, type), SCRIPT);
    chmodSync(join(this.binDir, type), 0o755);
    writeFileSync(join(this.binDir, `${type}.do`), script);
  }

  /** Writes a network's configuration. */
  network(file: string, config: object): void {
    writeFileSync(join(this.confDir, file), JSON.stringify(config));
  }

  forget(file: string): void {
    rmSync(join(this.confDir, file));
  }

  /** A runtime over all this, as a new process would open it. */
  open(more: { timeoutMs?: number; clock?: Clock; foreignCacheDir?: string } = {}): CniNetworks {
    const { confDir, binDir, cacheDir } = this;
    const foreignCacheDir = join(this.directory, 'others');
    return new CniNetworks({ confDir, binDirs: [binDir], cacheDir, foreignCacheDir, timeoutMs: 10_000, log: silentLog, ...more });
  }

  /** Calls so far, in order, and forgets them. */
  calls(): PluginCallSeen[] {
    const directory = join(this.directory, 'calls');
    const names = readdirSync(directory)
      .filter(name => name.endsWith('.call'))
      .sort();
    return names.map(name => {
      const [type = '', command = '', containerId = '', netns = '', ifName = '', args = ''] = readFileSync(
        join(directory, name),
        'utf8',
      ).split('\n');
      const config = JSON.parse(readFileSync(join(directory, name.replace(/call$/, 'config')), 'utf8'));
      rmSync(join(directory, name));
      return { type, command, containerId, netns, ifName, args, config };
    });
  }

  /** Containers for which plugins hold something: `bridge c1`. */
  held(): string[] {
    const held = readdirSync(this.directory).filter(name => name.startsWith('held-'));
    return held.map(name => name.slice(5).replace('-', ' ')).sort();
  }

  /** Attachments on disk. */
  cached(): string[] {
    return existsSync(this.cacheDir) ? readdirSync(this.cacheDir).sort() : [];
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true });
  }
}
