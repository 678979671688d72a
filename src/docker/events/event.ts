/** Something that happened, in docker's words. */
export interface DockerEvent {
  /** `container`, `image`, `network`, `volume`, `daemon`, `builder`, … */
  type: string;
  /** `start`, `die`, `exec_start: ls`, `health_status: healthy`, … */
  action: string;
  /** Of what it happened to: an id, of images what they were called, of volumes a name. */
  id: string;
  attributes: Readonly<Record<string, string>>;
}

/** A point in time as docker tells it. */
export interface Moment {
  seconds: number;
  nanos: number;
}

/** An event with its time and its bytes, made once for the journal and all who listen. */
export interface Recorded extends DockerEvent {
  at: Moment;
  line: Buffer;
}

const MOST_LINE_BYTES = 64 << 10;
/** Kept of an event whose container has labels without end. */
const KEPT = ['name', 'image', 'exitCode', 'execDuration', 'signal', 'oldName', 'container', 'execID'];

/** The event as `GET /events` sends it, one line. `status`, `id` and `from` are what clients before 1.22 read; docker sends them up to 1.51. Pure. */
export function toLine(event: DockerEvent, at: Moment): Buffer {
  const line = Buffer.from(`${toText(event, at)}\n`);
  if (line.length <= MOST_LINE_BYTES) return line;
  const kept = Object.entries(event.attributes).flatMap(([key, value]) => (KEPT.includes(key) ? [[key, value.slice(0, 4096)]] : []));
  return Buffer.from(`${toText({ ...event, action: event.action.slice(0, 4096), attributes: Object.fromEntries(kept) }, at)}\n`);
}

function toText({ type, action, id, attributes }: DockerEvent, { seconds, nanos }: Moment): string {
  const head = {
    ...(type === 'container' || type === 'image' ? { status: action, id } : {}),
    ...(type === 'container' && attributes.image !== undefined ? { from: attributes.image } : {}),
    Type: type,
    Action: action,
    Actor: { ID: id, Attributes: attributes },
    scope: 'local',
    time: seconds,
  };
  // More digits than a number of JavaScript's has.
  return `${JSON.stringify(head).slice(0, -1)},"timeNano":${seconds}${String(nanos).padStart(9, '0')}}`;
}

/** Reads what `toLine` made; undefined for what is cut off or no event. Pure. */
export function fromLine(line: string): Recorded | undefined {
  const nano = /"timeNano":(\d{1,12})(\d{9})\}$/.exec(line);
  if (!nano) return undefined;
  try {
    const { Type: type, Action: action, Actor: actor } = JSON.parse(line);
    const at = { seconds: Number(nano[1]), nanos: Number(nano[2]) };
    return { type, action, id: actor.ID, attributes: actor.Attributes, at, line: Buffer.from(`${line}\n`) };
  } catch {
    return undefined;
  }
}

/** Negative if `a` is before `b`. */
export function compareMoments(a: Moment, b: Moment): number {
  return a.seconds - b.seconds || a.nanos - b.nanos;
}

export function toMilliseconds({ seconds, nanos }: Moment): number {
  return seconds * 1000 + nanos / 1e6;
}
