import type { Clock } from '#base/index.ts';
import type { Client } from '#client/index.ts';
import type { Pod } from '#kinds/pod.ts';
import { ServiceAccount } from '#kinds/service-account.ts';

interface Held {
  token: string;
  issuedAtMs: number;
  expiresAtMs: number;
}

/** A token is replaced when it has spent 80 % of its life, or a day, whichever comes first: as the kubelet does. */
const SPENT = 0.8;
const DAY_MS = 86_400_000;

/** Service-account tokens bound to pods, asked for once and again before they end. */
export class TokenKeeper {
  readonly #client: Client;
  readonly #clock: Clock;
  readonly #held = new Map<string, Map<string, Held>>();

  constructor({ client, clock }: { client: Client; clock: Clock }) {
    this.#client = client;
    this.#clock = clock;
  }

  async token(pod: Pod, { audience, expirationSeconds }: { audience?: string | undefined; expirationSeconds: number }): Promise<string> {
    const { name, namespace, uid } = pod.metadata;
    const key = `${audience ?? ''}/${expirationSeconds}`;
    const ofPod = this.#held.get(uid) ?? new Map<string, Held>();
    this.#held.set(uid, ofPod);
    const held = ofPod.get(key);
    if (held && this.#dueInMs(held) > 0) return held.token;
    const { status } = await this.#client.createSubresource<{ status: { token: string; expirationTimestamp: string } }>(
      ServiceAccount,
      { namespace, name: pod.spec.serviceAccountName ?? 'default' },
      'token',
      {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        spec: { audiences: audience ? [audience] : [], expirationSeconds, boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid } },
      },
    );
    const now = this.#clock.now();
    ofPod.set(key, { token: status.token, issuedAtMs: now, expiresAtMs: Date.parse(status.expirationTimestamp) });
    return status.token;
  }

  /** When the next of the pod's tokens must be replaced. */
  refreshInMs(podUid: string): number | undefined {
    const all = [...(this.#held.get(podUid)?.values() ?? [])].map(held => this.#dueInMs(held));
    return all.length > 0 ? Math.max(0, Math.min(...all)) : undefined;
  }

  forget(podUid: string): void {
    this.#held.delete(podUid);
  }

  #dueInMs({ issuedAtMs, expiresAtMs }: Held): number {
    return issuedAtMs + Math.min((expiresAtMs - issuedAtMs) * SPENT, DAY_MS) - this.#clock.now();
  }
}
