import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { Cluster } from '#cli/cluster.ts';
import type { ImageCommandContext } from '#cli/image.ts';
import { type OutputForm, processStreams } from '#cli/terminal.ts';
import { type Config, joinAddress, pathsOf, type Role } from './config.ts';

type ReadConfig = () => Promise<Config>;

interface Output {
  output?: string;
}

/** Adds what people do with a running instance: clients of its API and of its docker socket, each loaded when it is used. */
export function addClientCommands(program: Command, config: ReadConfig): void {
  addStatus(program, config);
  addImage(program, config);
  addPods(program, config);
  addWhy(program, config);
  addDoctor(program, config);
}

function addStatus(program: Command, config: ReadConfig): void {
  withOutput(program.command('status'))
    .description('what runs and where it is reached; exit code 1 unless all of it is ready')
    .addHelpText('after', '\nExamples:\n  umiak status\n  umiak status -o json')
    .action(async (options: Output, command: Command) => {
      const [{ printStatus }, { stateNow }] = await Promise.all([import('#cli/status.ts'), import('./control-socket.ts')]);
      const read = await config();
      const paths = pathsOf(read);
      const [server, agent] = await Promise.all((['server', 'agent'] as const).map(role => stateNow(paths.control(role))));
      const code = await printStatus(processStreams(), formOf(options, command), {
        instance: read.name,
        places: { ...read, ...paths, api: joinAddress(read.apiAddress) },
        server,
        agent,
        connect: () => connect(read),
      });
      process.exitCode = code;
    });
  withOutput(program.command('env'))
    .description('lines that set KUBECONFIG, DOCKER_HOST and CONTAINER_RUNTIME_ENDPOINT (crictl) for this instance')
    .addHelpText('after', '\nExample:\n  eval "$(umiak env)" && kubectl get pods -A && docker images')
    .action(async (options: Output, command: Command) => {
      const { printEnvironment } = await import('#cli/env.ts');
      printEnvironment(processStreams(), formOf(options, command), pathsOf(await config()));
    });
  program
    .command('kubeconfig')
    .description('print the kubeconfig of this instance')
    .option('--merge [file]', 'put it into another kubeconfig instead, and make its context the current one (default: ~/.kube/config)')
    .addHelpText('after', '\nExamples:\n  umiak kubeconfig > my.kubeconfig\n  umiak kubeconfig --merge')
    .action(async ({ merge }: { merge?: string | true }) => {
      const { mergeKubeconfig, printKubeconfig } = await import('#cli/kubeconfig.ts');
      const { kubeconfig } = pathsOf(await config());
      if (merge === undefined) await printKubeconfig(processStreams(), kubeconfig);
      else await mergeKubeconfig(processStreams(), kubeconfig, merge === true ? join(homedir(), '.kube', 'config') : merge);
    });
}

const RESTART_MS = 5_000;

/** Where the server runs and the agent doesn't, it is just being started again. */
async function untilAgentIsBack(control: (role: Role) => string): Promise<void> {
  const { stateNow, whenState } = await import('./control-socket.ts');
  if ((await stateNow(control('agent')))?.state === 'ready' || !(await stateNow(control('server')))) return;
  // Who asks next says what is wrong.
  await whenState(control('agent'), { timeoutMs: RESTART_MS }).catch(() => {});
}

function addImage(program: Command, config: ReadConfig): void {
  const image = program
    .command('image')
    .description('images of this machine: pull, push, load, save, list, name, pin, verify, remove, assemble from packages');
  const context = async (options: Output, command: Command): Promise<ImageCommandContext> => {
    const { DockerClient } = await import('#cli/docker-client.ts');
    const paths = pathsOf(await config());
    await untilAgentIsBack(paths.control);
    return { docker: new DockerClient(paths.dockerSocket), streams: processStreams(), form: formOf(options, command) };
  };
  const commands = () => import('#cli/image.ts');

  withOutput(image.command('ls').alias('list'))
    .description('list images')
    .option('-q, --quiet', 'ids only')
    .action(async (options: Output & { quiet?: boolean }, command: Command) => {
      await (await commands()).listImages(await context(options, command), { isQuiet: options.quiet === true });
    });
  withOutput(image.command('pull <image>'))
    .description('fetch an image from its registry, with the credentials of docker login')
    .option('--platform <platform>', 'for another platform: linux/arm64')
    .addHelpText('after', '\nExamples:\n  umiak image pull redis:7\n  umiak image pull localhost:5000/team/app@sha256:…')
    .action(async (name: string, options: Output & { platform?: string }, command: Command) => {
      await (await commands()).pullImage(await context(options, command), name, { platform: options.platform });
    });
  withOutput(image.command('push <image>'))
    .description('send an image to the registry that its name says, with the credentials of docker login')
    .option('-a, --all-tags', 'all tags of its repository')
    .addHelpText('after', '\nExamples:\n  umiak image tag app:1 localhost:5000/team/app:1 && umiak image push localhost:5000/team/app:1')
    .action(async (name: string, options: Output & { allTags?: boolean }, command: Command) => {
      await (await commands()).pushImage(await context(options, command), name, { isAll: options.allTags === true });
    });
  for (const [verb, isPinned, about] of [
    ['pin', true, 'keep images from being pruned, or removed but by force'],
    ['unpin', false, 'let pinned images be pruned and removed again'],
  ] as const)
    image
      .command(`${verb} <image...>`)
      .description(about)
      .action(async (names: string[], _options: Output, command: Command) => {
        await (await commands()).pinImages(await context({}, command), names, isPinned);
      });
  withOutput(image.command('verify'))
    .description('read every blob; what the disk altered goes to the quarantine, and its images are to be pulled again')
    .action(async (options: Output, command: Command) => {
      await (await commands()).verifyImages(await context(options, command));
    });
  withOutput(image.command('load [file]'))
    .description('take in an archive of docker save, or an OCI layout as tar; compressed ones too; without a file from stdin')
    .option('-i, --input <file>', 'the archive')
    .addHelpText('after', '\nExamples:\n  umiak image load app.tar\n  docker save app:1 | umiak image load')
    .action(async (file: string | undefined, options: Output & { input?: string }, command: Command) => {
      await (await commands()).loadImages(await context(options, command), options.input ?? file ?? '-');
    });
  image
    .command('save <image...>')
    .description('write images as an archive that docker, podman and OCI tools read')
    .option('-o, --output <file>', 'the archive; without it stdout', '-')
    .addHelpText('after', '\nExamples:\n  umiak image save redis:7 -o redis.tar\n  umiak image save app:1 app:2 | zstd > apps.tar.zst')
    .action(async (names: string[], { output }: { output: string }, command: Command) => {
      await (await commands()).saveImages(await context({}, command), names, output);
    });
  withOutput(image.command('rm <image...>').alias('remove'))
    .description('remove images by name or id; content goes with the last name that needs it')
    .option('-f, --force', 'all names of an id; the name of an image in use')
    .action(async (names: string[], options: Output & { force?: boolean }, command: Command) => {
      await (await commands()).removeImages(await context(options, command), names, { force: options.force === true });
    });
  image
    .command('tag <image> <name>')
    .description('give an image another name')
    .action(async (name: string, newName: string, _options: Output, command: Command) => {
      await (await commands()).tagImage(await context({}, command), name, newName);
    });
  withOutput(image.command('assemble <file>'))
    .description('make a minimal image from a declarative file: Debian packages, files, users, links')
    .option('--update', 'resolve packages anew and rewrite the lock')
    .option('--frozen', 'fail when the lock is missing or not for this file')
    .option('--lock <file>', 'where the lock is (default: beside the file, its name with .lock)')
    .addHelpText('after', '\nExamples:\n  umiak image assemble examples/shop/images/redis.yaml\n  umiak image assemble image.yaml --frozen')
    .action(async (file: string, options: Output & { update?: boolean; frozen?: boolean; lock?: string }, command: Command) => {
      const { dataDir } = await config();
      await (await commands()).assembleImage(await context(options, command), file, {
        cacheDir: join(dataDir, 'packages'),
        update: options.update === true,
        frozen: options.frozen === true,
        ...(options.lock ? { lockPath: options.lock } : {}),
      });
    });
}

interface PodOptions extends Output {
  namespace?: string;
  kubeconfig?: string;
  container?: string;
}

function addPods(program: Command, config: ReadConfig): void {
  const withNamespace = (command: Command) =>
    command
      .option('-n, --namespace <namespace>', 'the namespace')
      .option('--kubeconfig <file>', "another cluster's kubeconfig; by default this instance's own");
  const cluster = async ({ kubeconfig }: PodOptions): Promise<Cluster> => connect(await config(), kubeconfig);

  withOutput(withNamespace(program.command('ps')))
    .description('list pods with their containers, in all namespaces unless one is given')
    .option('-A, --all-namespaces', 'in all namespaces')
    .addHelpText('after', '\nExamples:\n  umiak ps\n  umiak ps -n shop -o json')
    .action(async (options: PodOptions & { allNamespaces?: boolean }, command: Command) => {
      const { listPods } = await import('#cli/ps.ts');
      await using its = await cluster(options);
      const namespace = options.allNamespaces ? undefined : options.namespace;
      await listPods(its, processStreams(), { form: formOf(options, command), namespace, nowMs: Date.now() });
    });
  withNamespace(program.command('logs <pod>'))
    .description('print what a container wrote')
    .option('-c, --container <name>', 'which container; needed when the pod has several')
    .option('-f, --follow', 'go on with what it writes')
    .option('--tail <lines>', 'the last lines only')
    .option('-p, --previous', 'of its life before the last restart')
    .option('--timestamps', 'with the time of each line')
    .addHelpText('after', '\nExamples:\n  umiak logs -n shop api-5d4f8-x2x9k\n  umiak logs -n shop redis-0 -f --tail 20')
    .action(async (name: string, options: PodOptions & LogFlags, command: Command) => {
      if (options.tail !== undefined && !/^\d{1,9}$/.test(options.tail))
        command.error('error: --tail takes a number of lines', { exitCode: 2 });
      const { printLogs } = await import('#cli/logs.ts');
      await using its = await cluster(options);
      await printLogs(its, processStreams(), nameOf(name), {
        namespace: options.namespace ?? its.namespace,
        container: options.container,
        isFollowing: options.follow === true,
        tail: options.tail === undefined ? undefined : Number(options.tail),
        isPrevious: options.previous === true,
        hasTimestamps: options.timestamps === true,
        signal: untilInterrupted(),
      });
    });
  withNamespace(program.command('exec <pod> <command...>'))
    .description("run a command in a container; its exit code is this command's")
    .option('-c, --container <name>', 'which container; by default the first')
    .option('-i, --stdin', 'pass stdin on')
    .option('-t, --tty', 'with a terminal')
    .addHelpText('after', '\nExamples:\n  umiak exec -n shop redis-0 -- redis-cli ping\n  umiak exec -it -n shop api-5d4f8-x2x9k -- sh')
    .action(async (name: string, words: string[], options: PodOptions & { stdin?: boolean; tty?: boolean }) => {
      const { execCommand } = await import('#cli/exec.ts');
      await using its = await cluster(options);
      process.exitCode = await execCommand(its, processStreams(), nameOf(name), words[0] === '--' ? words.slice(1) : words, {
        namespace: options.namespace ?? its.namespace,
        container: options.container,
        isInteractive: options.stdin === true,
        hasTerminal: options.tty === true,
      });
    });
}

function addWhy(program: Command, config: ReadConfig): void {
  withOutput(program.command('why <target>'))
    .description('why a pod does not run or is not ready, a Deployment has too few pods, a Service leads nowhere; and what to do')
    .option('-n, --namespace <namespace>', 'the namespace')
    .option('--kubeconfig <file>', "another cluster's kubeconfig; by default this instance's own")
    .addHelpText(
      'after',
      '\nExamples:\n  umiak why pod/api-5d4f8-x2x9k -n shop\n  umiak why deployment/api -n shop\n  umiak why svc/web -n shop -o json',
    )
    .action(async (text: string, options: PodOptions, command: Command) => {
      const { parseTarget, printWhy } = await import('#cli/why-command.ts');
      const target = parseTarget(text);
      if (!target) command.error(`error: ${JSON.stringify(text)} is not pod/NAME, deployment/NAME or service/NAME`, { exitCode: 2 });
      await using its = await connect(await config(), options.kubeconfig);
      const namespace = options.namespace ?? its.namespace;
      await printWhy(its, processStreams(), { ...target, namespace, form: formOf(options, command), nowMs: Date.now() });
    });
}

function addDoctor(program: Command, config: ReadConfig): void {
  withOutput(program.command('doctor'))
    .description(
      'what this machine can do for the platform, what falls back to what, and what to do; exit code 1 if something needed is missing',
    )
    .addHelpText('after', '\nExamples:\n  umiak doctor\n  umiak doctor --data-dir /srv/umiak -o json')
    .action(async (options: Output, command: Command) => {
      const form = formOf(options, command);
      const [{ printFindings }, { examineMachine }] = await Promise.all([import('#cli/doctor.ts'), import('./doctor.ts')]);
      process.exitCode = printFindings(processStreams(), form, await examineMachine(await config()));
    });
}

interface LogFlags {
  follow?: boolean;
  tail?: string;
  previous?: boolean;
  timestamps?: boolean;
}

function withOutput(command: Command): Command {
  return command.option('-o, --output <form>', 'json prints the result as JSON');
}

function formOf({ output }: Output, command: Command): OutputForm {
  if (output !== undefined && output !== 'json') command.error(`error: -o takes json, not ${JSON.stringify(output)}`, { exitCode: 2 });
  return output === 'json' ? 'json' : 'text';
}

/** `pod/x` and `pods/x` are taken as `x`. */
function nameOf(text: string): string {
  return text.replace(/^(?:pods?|po)\//, '');
}

async function connect(config: Config, kubeconfig = pathsOf(config).kubeconfig): Promise<Cluster> {
  const { connectCluster } = await import('#cli/cluster.ts');
  return await connectCluster(kubeconfig);
}

/** Aborts at the first interrupt; the second ends the process as usual. */
function untilInterrupted(): AbortSignal {
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.abort());
  return stop.signal;
}
