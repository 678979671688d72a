type Library = typeof import('@peculiar/x509');

let library: Promise<Library> | undefined;

/** The library that encodes certificates, loaded when the first one must be issued. */
export function loadX509(): Promise<Library> {
  library ??= load();
  return library;
}

/**
 * The library's container asks at load time for the metadata polyfill, and only whether it is there: nothing we use has any metadata.
 * So it gets two functions that know nothing, for the time of loading.
 */
async function load(): Promise<Library> {
  const reflect = Reflect as typeof Reflect & Record<string, unknown>;
  const lent = ['getMetadata', 'getOwnMetadata'].filter(name => !(name in reflect));
  for (const name of lent) reflect[name] = () => undefined;
  try {
    const module = await import('@peculiar/x509');
    return 'default' in module ? (module.default as Library) : module;
  } finally {
    for (const name of lent) delete reflect[name];
  }
}
