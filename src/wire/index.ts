/**
 * What goes over wires besides plain HTTP: upgraded connections and the streams within them.
 *
 * - `upgrade.ts`                     answers to upgrade requests, written to the bare socket
 * - `splice.ts`                      two connections joined to one
 * - `channel-mux.ts`                 several byte streams in one WebSocket, with back-pressure both ways
 * - `websocket-channels.ts`          the server's side of `v5.channel.k8s.io` and `v4.channel.k8s.io` (exec, attach)
 * - `websocket-channels-client.ts`   the client's side
 * - `grpc/`                          gRPC: a server on connections it is handed, a client, both by `protobuf-schema.ts`'s messages
 *
 * A connection that closes ends every stream of it; nothing survives it, and no stream's error is ever thrown at nobody.
 */
export * from './channel-mux.ts';
export * from './splice.ts';
export * from './upgrade.ts';
export * from './websocket-channels.ts';
export * from './websocket-channels-client.ts';
