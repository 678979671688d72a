import type { Clock } from '#base/clock.ts';
import type { Log } from '#base/log.ts';
import type { LocalEngine } from '#engine/local-engine.ts';
import type { ImageStore } from '#images/image-store.ts';
import type { GrpcHandlers } from '#wire/grpc/service.ts';
import type { ImageService, RuntimeService } from './types.gen.ts';

/** What every handler of CRI has to hand. */
export interface CriContext {
  engine: LocalEngine;
  images: ImageStore;
  /** The program's version. */
  version: string;
  /**
   * Whose sandboxes are shown and acted on. `all` while our own node agent drives the machine; a foreign kubelet kills what it does not know,
   * so it sees what it made and no more.
   */
  scope: 'all' | 'cri';
  /** Where its pods' addresses come from. */
  network: 'pod' | 'cni';
  /** Whether sandboxes can get a network now. */
  networkStatus(): Promise<{ isReady: boolean; reason: string; message: string }>;
  /** Path of the resolv.conf for sandboxes that bring no DNS of their own. */
  resolvConf: string;
  /** Where images and containers lie. */
  dataDir: string;
  clock: Clock;
  log: Log;
  /** Ends with the socket: what handlers open on their way goes in here. */
  stack: AsyncDisposableStack;
}

/** Some of a service's methods; `services.ts` puts them together. */
export type RuntimeHandlers = Partial<GrpcHandlers<RuntimeService>>;
export type ImageHandlers = Partial<GrpcHandlers<ImageService>>;
