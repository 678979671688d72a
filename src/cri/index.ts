/**
 * The engine's CRI face: `runtime.v1.RuntimeService` and `runtime.v1.ImageService` over gRPC on `cri.sock`, for crictl, for critest and for a
 * kubelet that is not ours.
 *
 * - `cri-socket.ts`, `cri-server.ts`   the socket; everything else is loaded with its first connection
 * - `services.ts`                      which handler serves which method; what has none answers UNIMPLEMENTED
 * - `…-handlers.ts`                    the methods, thin
 * - `plan-….ts`                        CRI's configurations in the engine's words, pure; what can't be honoured is refused by its field's name
 * - `streaming-….ts`                  the server that exec, attach and port-forward are sent to
 * - `event-….ts`, `stats-….ts`, `measuring.ts`, `metrics.ts`  what happens, and what is used
 * - `forms.ts`, `image-forms.ts`       the engine's records in CRI's words
 * - `lookup.ts`, `filters.ts`          ids by their beginning, owners, states, labels
 * - `types.gen.ts`, `protobuf.gen.json`  made by `tools/generate-grpc.ts`
 *
 * Invariants: nothing is kept here, the engine's records say all. While our own node agent drives the machine, everything on it is shown and
 * acted on; for a foreign kubelet only what it made itself (`context.ts`, `scope`). Stop and remove of what is not there is no error.
 */
export { type CriOptions, startCri } from './cri-socket.ts';
