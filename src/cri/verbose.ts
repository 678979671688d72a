/** What `verbose` adds to a status: one JSON document under `info`, as crictl's `inspect` shows it. */
export function toInfo(document: object): Record<string, string> {
  return { info: JSON.stringify(document) };
}
