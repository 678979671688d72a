/** Shapes of the CNI specification (version 1.1), as far as a runtime must understand them; what plugins add travels along untouched. */

export type CniCommand = 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS' | 'VERSION';

/** One plugin's part of a configuration (spec, section 1: "Plugin configuration objects"). */
export interface PluginConfig {
  type: string;
  capabilities?: Record<string, boolean>;
  [key: string]: unknown;
}

/** A network: its plugins are called one after the other (spec, section 1: "Configuration format"). */
export interface NetworkConfigList {
  name: string;
  /** The version in which its plugins are spoken to. */
  cniVersion: string;
  disableCheck: boolean;
  disableGc: boolean;
  plugins: PluginConfig[];
}

/** What a plugin answers to ADD (spec, section 5: "Success"). */
export interface CniResult {
  cniVersion: string;
  interfaces?: CniInterface[];
  ips?: CniIp[];
  routes?: CniRoute[];
  dns?: CniDns;
}

export interface CniInterface {
  name: string;
  mac?: string;
  mtu?: number;
  /** The namespace's path; empty or absent for a link of the machine. */
  sandbox?: string;
}

export interface CniIp {
  /** With its prefix: `10.0.0.5/24`. */
  address: string;
  gateway?: string;
  /** Index into `interfaces`. */
  interface?: number;
  /** `4` or `6`, before 1.0. */
  version?: string;
}

export interface CniRoute {
  dst: string;
  gw?: string;
  mtu?: number;
}

export interface CniDns {
  nameservers?: string[];
  domain?: string;
  search?: string[];
  options?: string[];
}

/** What a plugin says when it fails (spec, section 5: "Error"). */
export interface CniError {
  cniVersion?: string;
  code: number;
  msg: string;
  details?: string;
}

/** Codes of the specification; from 100 on they are the plugin's own. */
export const CNI_ERRORS = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  ioFailure: 5,
  decodingFailure: 6,
  invalidConfig: 7,
  tryAgainLater: 11,
  notAvailable: 50,
  limitedConnectivity: 51,
} as const;
