import { Command, CommanderError } from 'commander';
import { createLog, UmiakError } from '#base/index.ts';
import { addClientCommands } from './client-commands.ts';
import { type Config, pathsOf, readConfig, settings } from './config.ts';
import type { ProcessState } from './control-socket.ts';
import { VERSION } from './version.ts';

/**
 * Everything `umiak` can be told. A command imports what it needs when it runs, so that none pays for another.
 * @returns the exit code: 0 done, 1 failed (the reason is on stderr), 2 wrong usage
 */
export async function run(args: string[]): Promise<number> {
  const program = createProgram();
  try {
    await program.parseAsync(args, { from: 'user' });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    process.stderr.write(`umiak: ${describe(error)}\n`);
    return 1;
  }
}

function createProgram(): Command {
  const program = new Command('umiak')
    .description('A container platform in one light program: engine, images, cluster and network.')
    .exitOverride()
    .showHelpAfterError('(umiak --help lists commands and options)')
    .option('--config <file>', 'configuration file (UMIAK_CONFIG)');
  for (const { flag, about, variable, fallback } of settings) {
    program.option(`${flag} <value>`, `${about} (${variable}${fallback ? `, default ${fallback}` : ''})`);
  }
  const config = (): Promise<Config> => readConfig(program.opts());

  program
    .command('version')
    .description('print the version')
    .option('-o, --output <form>', 'json prints it as JSON')
    .action(({ output }: { output?: string }) => {
      const versions = { version: VERSION, kubernetes: '1.36', docker: '1.51' };
      if (output === 'json') print(`${JSON.stringify(versions)}\n`);
      else print(`umiak ${VERSION} (Kubernetes API 1.36)\n`);
    });
  program
    .command('server', { hidden: true })
    .description('run the server in the foreground: store, API, controllers, scheduler')
    .action(async () => {
      const { runServer } = await import('./server.ts');
      const read = await config();
      await runServer({ config: read, log: createLog({ part: 'server', level: read.logLevel }), signal: untilStopped() });
    });
  program
    .command('agent', { hidden: true })
    .description('run the agent in the foreground: engine, images, network, node')
    .action(async () => {
      const { runAgent } = await import('./agent.ts');
      const read = await config();
      await runAgent({ config: read, log: createLog({ part: 'agent', level: read.logLevel }), signal: untilStopped() });
    });
  program
    .command('up')
    .description('start the platform in the background; returns when the node is Ready')
    .option('--foreground', 'stay, and write the logs to stderr; ends with SIGTERM or Ctrl-C')
    .option('-o, --output <form>', 'json prints what runs as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  umiak up\n  umiak up --name two --data-dir /var/lib/two --run-dir /run/two --api-address 127.0.0.1:7443',
    )
    .action(async ({ output, foreground }: { output?: string; foreground?: boolean }) => {
      const { up, upInForeground } = await import('./up.ts');
      if (foreground) return upInForeground(await config(), untilStopped());
      const began = performance.now();
      const result = await up(await config(), say);
      if (output === 'json') print(`${JSON.stringify(result)}\n`);
      else if (result.wasUp) print('umiak is up already\n');
      else print(`umiak is up: ${describeNode(result.agent)} after ${((performance.now() - began) / 1000).toFixed(2)} s\n`);
    });
  program
    .command('down')
    .description('end the platform; containers go on and are taken over by the next up')
    .option('--containers', 'stop the containers too, and leave nothing behind but the data')
    .option('--grace <seconds>', 'what containers get to end by themselves', '10')
    .addHelpText('after', '\nExamples:\n  umiak down\n  umiak down --containers')
    .action(async ({ containers, grace }: { containers?: boolean; grace: string }, command: Command) => {
      if (!/^\d{1,5}$/.test(grace)) command.error('error: --grace takes a number of seconds', { exitCode: 2 });
      const { down } = await import('./down.ts');
      await down(await config(), { containers: containers === true, graceMs: Number(grace) * 1000, say });
    });
  program
    .command('store')
    .description('look after what the cluster keeps')
    .command('rotate-keys')
    .description('put a new key before the one that Secrets are encrypted with; the next start of the server writes them all with it')
    .action(async () => {
      const { rotateEncryptionKeys } = await import('#pki/encryption-keys.ts');
      const id = await rotateEncryptionKeys(pathsOf(await config()).encryptionKeys);
      print(`the new key is ${id}; \`umiak down\` and \`umiak up\` put it to use, containers go on meanwhile\n`);
    });
  program
    .command('cni')
    .description('our network as a CNI plugin: CNI_* variables and a configuration in, a result out (bin/umiak-cni calls it)')
    .action(async () => {
      const plugin = await import('./cni-plugin.ts');
      process.exitCode = await plugin.run();
    });
  addClientCommands(program, config);
  return program;
}

/** Our own node agent says Ready when it is; a foreign kubelet is another's to start. */
function describeNode({ details }: ProcessState): string {
  return details?.kubelet ? `node ${details.node} is Ready` : `node ${details?.node} awaits its kubelet on cri.sock`;
}

/** Progress, for people: on stderr, and only where somebody looks. */
function say(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`${line}\n`);
}

function print(text: string): void {
  process.stdout.write(text);
}

/** Aborts at SIGTERM or SIGINT. */
function untilStopped(): AbortSignal {
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
  return stop.signal;
}

function describe(error: unknown): string {
  if (!(error instanceof UmiakError)) return error instanceof Error ? (error.stack ?? error.message) : String(error);
  const causes = (error.details.causes ?? []).map(({ field, message }) => `\n  ${field}: ${message}`).join('');
  return `${error.message}${causes}${error.hint ? `\n${error.hint}` : ''}`;
}
