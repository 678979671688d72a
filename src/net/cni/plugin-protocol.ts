import { CNI_ERRORS, type CniCommand, type CniError } from './cni-types.ts';

/** What the plugin's process asks of the agent: a line of JSON, answered by one. */
export interface PluginRequest {
  command: Exclude<CniCommand, 'VERSION'>;
  /** Absent for GC and STATUS. */
  containerId?: string;
  netns?: string;
  ifName?: string;
  /** What it read. */
  config: Record<string, unknown>;
}

/** The agent's answer: what the plugin prints. */
export type PluginReply = { ok: object | null } | { error: CniError };

/** An error as the specification codes it. */
export class CniFailure extends Error {
  readonly code: number;

  constructor(code: keyof typeof CNI_ERRORS | number, message: string) {
    super(message);
    this.code = typeof code === 'number' ? code : CNI_ERRORS[code];
  }
}

/** The plugin's own codes begin here. */
export const ALREADY_ATTACHED = 100;
export const NOT_AS_ATTACHED = 101;

/** No request and no answer is longer. */
export const MAX_LINE_BYTES = 1 << 20;
