/**
 * The engine's docker face: the Docker Engine API (1.51, and back to 1.24) over a unix socket, for docker's own clients.
 *
 * - `docker-api.ts`      the server: sockets, version prefixes, the table of routes, errors; `request.ts` is one call on its way
 * - `containers/`         create, list, inspect, start, stop, kill, pause, wait, rename, update, remove, prune, top, stats
 * - `streams/`            attach, exec, logs, resize, log drivers; `hijack.ts` takes their connections over
 * - `files/`              archives in and out, changes, export, commit, import
 * - `networks/`           networks of one's own, containers in them, published ports (the kernel's part: `#net/bridges`)
 * - `volumes/`            volumes of the local driver, and all that containers mount
 * - `images/`             list, inspect, history, pull, push, load, save, remove, tag, search, prune
 * - `build/`              the classic door of the builder
 * - `events/`             the journal of what happens, kept over restarts, and `GET /events`
 * - `supervision/`        restart policies and health checks, by the engine's `supervision/`; mirror Pods' form
 * - `system/`             `_ping`, `version`, `info`, `system/df`, `auth`
 * - `filters.ts`          `filters` of a query, pure
 *
 * `open-docker.ts` makes the rooms, `rooms.ts` is what they need of each other: interfaces, no room imports another's classes.
 *
 * A docker container is one engine sandbox on demand and one engine container; docker's data stands in the engine's record (`DockerData`).
 * The way of a `docker run --rm`: `creation.ts` plans the whole body, prepares volumes, makes sandbox and container, or nothing ·
 * `attach` and `wait` wait for the start · `container-runs.ts` mounts volumes, starts the sandbox, `networks` attaches its endpoints and
 * publishes ports, the engine starts the container · its end is told to who waits, `settle` gives back networks, namespaces and mounts, and
 * `--rm` takes record, sandbox and anonymous volumes. One thing at a time to each container; after a kill `Containers.open` finishes what
 * was half done by what the records say.
 *
 * Invariants: what a route answers is what engine and image store hold at that moment; rooms keep indexes and who waits, nothing else.
 * Memory does not grow with sizes. What docker has and we have not answers 501 with a sentence, never an empty list.
 */
export { type DockerApiOptions, startDockerApi } from './docker-api.ts';
export { hasNetworks } from './networks/open-networks.ts';
export { type DockerRooms, type DockerRoomsOptions, openDockerRooms } from './open-docker.ts';
export { toMirrored } from './supervision/mirror-form.ts';
