import { basename } from 'node:path';

const [, program = '', command = '', ...args] = process.argv;

// A CNI plugin is started for each pod of a foreign runtime: it loads nothing of the other commands. Linked as `umiak-cni` it is the plugin.
if (basename(program) === 'umiak-cni' || (command === 'cni' && args.length === 0))
  process.exitCode = await import('./cni-plugin.ts').then(({ run }) => run());
else process.exitCode = await import('./commands.ts').then(({ run }) => run(process.argv.slice(2)));
