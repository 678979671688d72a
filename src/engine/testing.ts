import { copyFileSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { UmiakError } from '#base/errors.ts';
import { newNameSuffix } from '#base/ids.ts';
import { inNamespace, pinNamespaces, setHostname, unpinNamespace } from '#linux/namespaces.ts';
import { linkUp, Netlink } from '#linux/netlink.ts';
import { pinUserNamespace } from '#linux/user-namespace.ts';
import type { UserNamespaceMappings } from './engine.ts';
import type { ImageDefaults, ImageSource, PinKind, Pins, ResolvedImage, SandboxNetwork, SandboxNetworks } from './ports.ts';

/** For tests and benches: one image, `busybox`, made of this machine's static busybox. */
export class BusyboxImages implements ImageSource {
  readonly #directory: string;
  readonly #config: ImageDefaults;

  constructor(directory: string, config: ImageDefaults = {}) {
    this.#directory = directory;
    this.#config = { Env: ['PATH=/bin'], Cmd: ['/bin/sh'], ...config };
    mkdirSync(`${directory}/bin`, { recursive: true });
    mkdirSync(`${directory}/etc`, { recursive: true });
    mkdirSync(`${directory}/tmp`, { recursive: true });
    copyFileSync('/bin/busybox', `${directory}/bin/busybox`);
    for (const name of APPLETS) symlinkOnce(`${directory}/bin/${name}`);
    writeFileSync(`${directory}/etc/passwd`, 'root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001::/home/web:/bin/sh\n');
    writeFileSync(`${directory}/etc/group`, 'root:x:0:\nweb:x:1001:\nextra:x:2000:web\n');
  }

  async resolve(reference: string): Promise<ResolvedImage> {
    const known = {
      imageId: 'sha256:busybox',
      reference: 'docker.io/library/busybox:latest',
      config: this.#config,
      lowerDirs: [this.#directory],
    };
    if (reference === 'busybox' || reference === known.imageId) return known;
    throw new UmiakError('NotFound', `there is no image ${reference}`);
  }
}

const APPLETS =
  'sh ash cat echo sleep ls id env pwd true false kill ps mount hostname stat touch mkdir chmod dd head tail seq tr grep test stty tty wc nc awk cut date dmesg yes printf nproc mknod rm mv sync od readlink'.split(
    ' ',
  );

function symlinkOnce(path: string): void {
  rmSync(path, { force: true });
  symlinkSync('busybox', path);
}

/** For tests: each sandbox gets namespaces of its own with loopback only. */
export class LoopbackNetworks implements SandboxNetworks {
  readonly #directory: string;
  readonly inUse = new Set<string>();

  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true });
  }

  async adopt(records: readonly SandboxNetwork[], pinIds: readonly string[]): Promise<{ lost: SandboxNetwork[] }> {
    for (const id of [...records.map(record => record.id), ...pinIds]) this.inUse.add(id);
    return { lost: [] };
  }

  async take(options: { hostname?: string; userNamespace?: UserNamespaceMappings }): Promise<SandboxNetwork> {
    const id = newNameSuffix(8);
    const { net = '', ipc = '', uts = '', user } = await this.pinNamespaces({ id, kinds: ['net', 'ipc', 'uts'], ...options });
    return { id, path: net, ipc, uts, address: '127.0.0.1', veth: '', ...(user ? { user } : {}) };
  }

  async release({ id }: { id: string }): Promise<void> {
    await this.unpinNamespaces(id);
  }

  async pinNamespaces({
    id,
    kinds,
    hostname,
    userNamespace,
  }: {
    id: string;
    kinds: readonly PinKind[];
    hostname?: string;
    userNamespace?: UserNamespaceMappings;
  }): Promise<Pins> {
    const pins: Pins = Object.fromEntries(kinds.map(kind => [kind, `${this.#directory}/${id}.${kind}`]));
    const raise = () => {
      using netlink = new Netlink();
      netlink.send(linkUp(1));
    };
    if (userNamespace) {
      const user = `${this.#directory}/${id}.user`;
      pinUserNamespace({ user, ...pins }, userNamespace);
      if (pins.net) inNamespace(pins.net, 'net', raise);
      pins.user = user;
    } else pinNamespaces(pins, () => kinds.includes('net') && raise());
    if (hostname !== undefined && pins.uts) setHostname(pins.uts, hostname);
    this.inUse.add(id);
    return pins;
  }

  async unpinNamespaces(id: string): Promise<void> {
    for (const kind of ['net', 'ipc', 'uts', 'user']) unpinNamespace(`${this.#directory}/${id}.${kind}`);
    this.inUse.delete(id);
  }
}
