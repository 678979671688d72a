const [command = '', ...args] = process.argv.slice(2);

// A CNI plugin is started for each pod of a foreign runtime: it loads nothing of the other commands.
if (command === 'cni' && args.length === 0) process.exitCode = await import('./cni-plugin.ts').then(({ run }) => run());
else process.exitCode = await import('./commands.ts').then(({ run }) => run(process.argv.slice(2)));
