/**
 * The engine's docker face: the Docker Engine API (1.51, and back to 1.24) over a unix socket, for docker's own clients.
 *
 * - `docker-api.ts`      the server: one socket, version prefixes, the table of routes, errors
 * - `images/`             list, inspect, history, pull, push, load, save, remove, tag, search, prune
 * - `system/`             `_ping`, `version`, `info`, `system/df`, `auth`
 * - `networks/`           networks of one's own, containers in them, published ports (the kernel's part: `#net/bridges`)
 * - `volumes/`            volumes of the local driver, and all that containers mount
 * - `containers/`         the containers themselves; `open-docker.ts` makes all rooms, `rooms.ts` is what they need of each other
 * - `events/`             the journal of what happens, kept over restarts, and `GET /events`
 * - `supervision/`        restart policies and health checks, by the engine's `supervision/`
 * - `build/`              the classic door of the builder
 * - `filters.ts`          `filters` of a query, pure
 *
 * Invariants: what a route answers is what the image store holds at that moment; nothing is kept here. Memory does not grow with an
 * image's size. What docker has and we have not yet answers 501 with a sentence, never an empty list.
 */
export { type DockerApiOptions, startDockerApi } from './docker-api.ts';
export { type DockerRooms, type DockerRoomsOptions, openDockerRooms } from './open-docker.ts';
export { toMirrored } from './supervision/mirror-form.ts';
