import { text } from 'node:stream/consumers';
import { runAsPlugin } from '#net/cni/plugin-client.ts';

/** `umiak cni`: what a container runtime starts for each of its pods, so it must load quickly. Prints what the specification says. */
export async function run(): Promise<number> {
  const isVersion = process.env.CNI_COMMAND === 'VERSION';
  const { output, exitCode } = await runAsPlugin({ env: process.env, input: isVersion ? '' : await text(process.stdin) });
  if (output !== '') process.stdout.write(`${output}\n`);
  return exitCode;
}
