/**
 * `node:http` for those who use its values; types come from `node:http` itself. Importing it as a module asks it for all that it exports,
 * and with that loads node's whole fetch and WebSocket (undici): some 20 ms at a start and 3 MB in each process, for nothing.
 */
export const { Agent, createServer, request, ServerResponse, STATUS_CODES } = process.getBuiltinModule('node:http');
