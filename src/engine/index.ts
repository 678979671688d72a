/**
 * The engine: pods and containers on one machine.
 *
 * - A sandbox is namespaces (network, IPC, UTS, pinned; no pause process unless one PID namespace is shared), a /dev/shm and the files
 *   bound into its containers. A container is a record, a writable layer, and while it runs a bundle, a monitor (conmon) and a control group.
 * - The record is written before anything it speaks of is made and removed after all of that is gone. So `openEngine` after any crash
 *   compares records with the machine (`planRecovery`) and finds exactly one way on: adopt, record the exit, roll back, discard.
 * - Nothing polls: a monitor's end is the end of a fifo that only it writes to, logs are followed by inotify, processes by pidfds.
 * - What decides is pure (`planOciSpec`, `planUser`, `planCapabilities`, `planSeccomp`, `planRecovery`, `planMachine`); what acts is thin.
 * - What a client writes never reaches the runtime as an order: annotations pass an allowlist, paths are resolved below the root.
 * - One file a thing: `Ledger` keeps the records, `ContainerRuns` the runs, `ContainerLife` and `SandboxLife` what is done to them, one at a
 *   time to each, `ContainerStreams` what goes in and out, `recover` the way back; `openEngine` makes them, `LocalEngine` is the door.
 * - A sandbox `onDemand` (docker's) has namespaces only from `startSandbox` to `stopSandbox`, any number of times; its containers stay.
 *   What its owner keeps of a container (`ownerData`) stands in the same record and is nothing to the engine.
 * - `files/` puts archives into containers and takes them out, confined to their roots; `supervision/` has restart policies and health
 *   checks for faces that have none of their own.
 * - `streaming/` serves exec, attach and port-forward over SPDY and WebSocket to whoever the node's API and CRI's streaming server let in.
 * - Not here: images, networks (both injected, `ports.ts`), the kubelet's restarts and probes (node).
 */
export type * from './engine.ts';
export { LocalEngine } from './local-engine.ts';
export { applyMachine, type MachineChange, type MachineFacts, planMachine, readMachineFacts } from './machine.ts';
export { type EngineOptions, openEngine } from './open-engine.ts';
export type {
  CniSandbox,
  CniSandboxes,
  ImageDefaults,
  ImageSource,
  PinKind,
  Pins,
  ResolvedImage,
  SandboxNetwork,
  SandboxNetworks,
} from './ports.ts';
export { removeInstance } from './remove-instance.ts';
