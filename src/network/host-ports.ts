import { type Log, messageOf } from '#base/index.ts';
import type { Engine, PublishedPort, Sandbox } from '#engine/engine.ts';
import type { HostPortRule, PortReservations, ReservedPort, RuleTable } from '#net/index.ts';

export interface HostPortsOptions {
  engine: Engine;
  rules: RuleTable;
  reservations: PortReservations;
  log: Log;
  /** A port of this sandbox could not be had. */
  onRefused: (sandbox: Sandbox, message: string) => void;
}

/** Leads published ports of the machine to their sandboxes, for as long as these are ready. Fed by the engine's events. */
export class HostPorts implements Disposable {
  readonly #options: HostPortsOptions;
  readonly #held = new Map<string, ReservedPort[]>();
  #subscription: Disposable | undefined;

  constructor(options: HostPortsOptions) {
    this.#options = options;
  }

  /** Takes over the sandboxes that are there, then follows. */
  async start(): Promise<void> {
    const { engine } = this.#options;
    this.#subscription = engine.subscribe(event => {
      if (event.type !== 'sandbox') return;
      void (event.action === 'created' ? this.#publish(event.sandbox) : this.#withdraw(event.sandbox));
    });
    await Promise.all(engine.sandboxes().map(sandbox => (sandbox.state === 'ready' ? this.#publish(sandbox) : undefined)));
  }

  async #publish(sandbox: Sandbox): Promise<void> {
    const { rules, reservations, onRefused } = this.#options;
    const { address, config, id } = sandbox;
    // With CNI, publishing ports is a plugin's work.
    if (address === undefined || config.network === 'cni' || this.#held.has(id) || (config.ports ?? []).length === 0) return;
    const held: ReservedPort[] = [];
    this.#held.set(id, held);
    const granted: HostPortRule[] = [];
    for (const port of config.ports ?? []) {
      const reserved = { protocol: port.protocol, port: port.hostPort, ...(port.hostIp ? { hostIp: port.hostIp } : {}) };
      try {
        await reservations.reserve(reserved, `${config.metadata.namespace}/${config.metadata.name}`);
        held.push(reserved);
        granted.push(toRule(id, address, port));
      } catch (error) {
        onRefused(sandbox, messageOf(error));
      }
    }
    await this.#change(granted, []);
    if (rules.rules.size > 0 && !this.#held.has(id))
      await this.#change(
        [],
        granted.map(({ id: rule }) => rule),
      );
  }

  async #withdraw({ id, config }: Sandbox): Promise<void> {
    const held = this.#held.get(id);
    this.#held.delete(id);
    if (!held) return;
    await this.#change(
      [],
      (config.ports ?? []).map(port => ruleId(id, port)),
    );
    await Promise.all(held.map(port => this.#options.reservations.release(port)));
  }

  async #change(set: readonly HostPortRule[], removed: readonly string[]): Promise<void> {
    if (set.length + removed.length === 0) return;
    try {
      await this.#options.rules.change(set, removed);
    } catch (error) {
      this.#options.log.error('published ports could not be written to the kernel', { error: messageOf(error) });
    }
  }

  [Symbol.dispose](): void {
    this.#subscription?.[Symbol.dispose]();
  }
}

function toRule(sandboxId: string, address: string, port: PublishedPort): HostPortRule {
  return {
    id: ruleId(sandboxId, port),
    ...(port.hostIp ? { hostIp: port.hostIp } : {}),
    protocol: port.protocol,
    hostPort: port.hostPort,
    address,
    port: port.containerPort,
  };
}

function ruleId(sandboxId: string, { protocol, hostPort, hostIp = '' }: PublishedPort): string {
  return `hostport/${sandboxId}/${hostIp}/${protocol}/${hostPort}`;
}
