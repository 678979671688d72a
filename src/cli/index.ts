/**
 * What people type: the commands behind `umiak`, as functions of typed clients and streams. `main` wires them to arguments.
 *
 * - `cluster.ts`        the API by a kubeconfig; `docker-client.ts` the engine by its docker socket: nothing else is spoken
 * - `image.ts`, `ps.ts`, `logs.ts`, `exec.ts`, `status.ts`, `env.ts`, `apply.ts`   one command, or family, a file
 * - `why.ts`            reads what a pod, Deployment or Service hangs on; `explain-*.ts` decide, pure, with golden tests
 * - `terminal.ts`       tables, colour, progress
 *
 * Invariants: results go to stdout, progress to stderr and only where somebody looks; colour only on a terminal; `-o json` wherever
 * something is printed. A command throws `UmiakError` with what to do next; only `exec` has an exit code of its own.
 */
export { type Cluster, connectCluster } from './cluster.ts';
export { DockerClient } from './docker-client.ts';
export { type OutputForm, processStreams, type Streams } from './terminal.ts';
