import type { GrpcMethod } from '#wire/grpc/server.ts';
import { bindService } from '#wire/grpc/service.ts';
import { containerHandlers } from './container-handlers.ts';
import type { CriContext, ImageHandlers, RuntimeHandlers } from './context.ts';
import { eventHandlers } from './event-handlers.ts';
import { imageHandlers } from './image-handlers.ts';
import { logHandlers } from './log-handlers.ts';
import { runtimeHandlers } from './runtime-handlers.ts';
import { sandboxHandlers } from './sandbox-handlers.ts';
import { criSchema, IMAGE_SERVICE, RUNTIME_SERVICE } from './schema.ts';
import { diskHandlers, statsHandlers } from './stats-handlers.ts';
import { streamingHandlers } from './streaming-handlers.ts';
import type { ImageService, RuntimeService } from './types.gen.ts';

/**
 * Every method of CRI by its path; each part gives the handlers of its methods and may put what it opens into the context's stack. Methods
 * that nobody has a handler for answer UNIMPLEMENTED.
 */
export function criMethods(context: CriContext): Map<string, GrpcMethod> {
  const runtime: RuntimeHandlers = {
    ...runtimeHandlers(context),
    ...sandboxHandlers(context),
    ...containerHandlers(context),
    ...streamingHandlers(context),
    ...eventHandlers(context),
    ...logHandlers(context),
    ...statsHandlers(context),
  };
  const images: ImageHandlers = { ...imageHandlers(context), ...diskHandlers(context) };
  return new Map([
    ...bindService<RuntimeService>(criSchema, RUNTIME_SERVICE, runtime),
    ...bindService<ImageService>(criSchema, IMAGE_SERVICE, images),
  ]);
}
