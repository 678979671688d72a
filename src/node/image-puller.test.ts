import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ManualClock, UmiakError } from '#base/index.ts';
import type { ImageRecord, PullOptions } from '#images/index.ts';
import { Pod } from '#kinds/pod.ts';
import { Secret } from '#kinds/secret.ts';
import { made } from '#kinds/testing.ts';
import { LocalImagePuller, type LocalImagePullerOptions } from './image-puller.ts';
import { ImageError } from './parts.ts';

const record = { id: 'sha256:1', sizeBytes: 7, config: { config: { User: 'web' } } } as unknown as ImageRecord;
const podNamed = (name: string, spec: object = {}) =>
  made(Pod, { metadata: { name, namespace: 'default', uid: name }, spec: { containers: [{ name: 'c', image: 'i' }], ...spec } });
const container = (imagePullPolicy: string, image = 'example.com/app:1') => ({ name: 'c', image, imagePullPolicy });

/** A puller over a registry that does what `pull` says, and what it told. */
function setUp({
  isPresent = false,
  pull,
  secrets = {},
  providers,
}: {
  isPresent?: boolean;
  pull?: (options: PullOptions) => Promise<ImageRecord>;
  secrets?: Record<string, Secret>;
  providers?: LocalImagePullerOptions['providers'];
} = {}) {
  const clock = new ManualClock();
  const events: string[] = [];
  const pulls: PullOptions[] = [];
  const tell = (type: string) => (_: unknown, reason: string, message: string) => void events.push(`${type} ${reason} ${message}`);
  const here = { isPresent };
  const puller = new LocalImagePuller({
    images: {
      inspect: async reference => {
        if (here.isPresent) return record;
        throw new UmiakError('NotFound', `there is no image ${reference}`);
      },
      ensureUnpacked: async () => [],
      pull: async (_, options = {}) => {
        pulls.push(options);
        return pull ? pull(options) : record;
      },
    },
    objects: { secret: async (_namespace, name) => secrets[name] },
    events: { normal: tell('Normal'), warning: tell('Warning') },
    clock,
    ...(providers ? { providers } : {}),
  });
  return { puller, clock, events, pulls, here };
}

const refused = (reason: UmiakError['reason'], message: string) => () => Promise.reject(new UmiakError(reason, message));
const isWaiting = (waiting: string) => (error: unknown) => error instanceof ImageError && error.waiting === waiting;

describe('policies', () => {
  const cases = [
    { policy: 'IfNotPresent', isPresent: true, pulls: 0, first: /^Normal Pulled Container image ".*" already present on machine/ },
    { policy: 'IfNotPresent', isPresent: false, pulls: 1, first: /^Normal Pulling Pulling image/ },
    { policy: 'Always', isPresent: true, pulls: 1, first: /^Normal Pulling/ },
    { policy: 'Never', isPresent: true, pulls: 0, first: /^Normal Pulled/ },
  ];
  for (const { policy, isPresent, pulls, first } of cases)
    test(`${policy}, ${isPresent ? 'present' : 'absent'}: ${pulls} pulls`, async () => {
      const made = setUp({ isPresent });
      assert.deepEqual(await made.puller.ensure(podNamed('p'), container(policy)), { imageId: 'sha256:1', pulled: pulls > 0, user: 'web' });
      assert.equal(made.pulls.length, pulls);
      assert.match(made.events[0] ?? '', first);
    });

  test('Never, absent: ErrImageNeverPull, and it may come yet', async () => {
    const { puller, here, events } = setUp();
    await assert.rejects(puller.ensure(podNamed('p'), container('Never')), isWaiting('ErrImageNeverPull'));
    assert.match(events[0] ?? '', /^Warning ErrImageNeverPull/);
    here.isPresent = true;
    await puller.ensure(podNamed('p'), container('Never'));
  });

  test('Always without the registry is an error even when the image is here, as upstream', async () => {
    const { puller } = setUp({ isPresent: true, pull: refused('ServiceUnavailable', 'no registry') });
    await assert.rejects(puller.ensure(podNamed('p'), container('Always')), isWaiting('ErrImagePull'));
  });

  test('a name that is none: InvalidImageName', async () => {
    const { puller, events } = setUp();
    await assert.rejects(puller.ensure(podNamed('p'), container('Always', 'app:not/a/tag!')), isWaiting('InvalidImageName'));
    assert.match(events[0] ?? '', /^Warning InspectFailed .*couldn't parse image name/);
  });
});

describe('back-off', () => {
  test('10 s doubling to 5 minutes, by pod; the image may come another way meanwhile', async () => {
    const { puller, clock, pulls, here, events } = setUp({ pull: refused('NotFound', 'manifest unknown') });
    const [pod, other] = [podNamed('p'), podNamed('q')];
    const fails = (waiting: string, of = pod) => assert.rejects(puller.ensure(of, container('IfNotPresent')), isWaiting(waiting));
    for (const seconds of [10, 20, 40, 80, 160, 300, 300]) {
      await fails('ErrImagePull');
      clock.advance(seconds * 1000 - 1);
      await fails('ImagePullBackOff');
      clock.advance(1);
    }
    assert.equal(pulls.length, 7);
    await fails('ErrImagePull');
    await fails('ErrImagePull', other);
    assert.ok(events.includes('Normal BackOff Back-off pulling image "example.com/app:1"'));
    assert.ok(events.includes('Warning Failed Failed to pull image "example.com/app:1": manifest unknown'));
    here.isPresent = true;
    assert.equal((await puller.ensure(pod, container('IfNotPresent'))).pulled, false);
  });

  test('says why, and when to ask again', async () => {
    const { puller, clock } = setUp({ pull: refused('Unauthorized', 'wants a login') });
    await puller.ensure(podNamed('p'), container('Always')).catch(() => {});
    clock.advance(4_000);
    await assert.rejects(puller.ensure(podNamed('p'), container('Always')), (error: ImageError) => {
      assert.equal(error.retryInMs, 6_000);
      assert.equal(error.reason, 'Unauthorized');
      assert.match(error.message, /^Back-off pulling image "example.com\/app:1": ErrImagePull: .*wants a login/);
      return true;
    });
  });

  test('a pull that nobody waits for any more is no failure', async () => {
    const abort = new AbortController();
    const { puller, events } = setUp({
      pull: () => new Promise((_, reject) => abort.signal.addEventListener('abort', () => reject(new Error('gone')))),
    });
    const pulling = puller.ensure(podNamed('p'), container('Always'), abort.signal);
    setImmediate(() => abort.abort());
    await assert.rejects(pulling, /gone/);
    assert.equal(events.filter(event => event.startsWith('Warning')).length, 0);
  });
});

describe('logins', () => {
  const secretFor = (username: string) => {
    const config = { auths: { 'example.com': { username, password: 'p' } } };
    const data = { '.dockerconfigjson': Buffer.from(JSON.stringify(config)).toString('base64') };
    return made(Secret, { metadata: { name: username }, type: 'kubernetes.io/dockerconfigjson', data });
  };
  const secrets = { ann: secretFor('ann'), bob: secretFor('bob') };
  const pod = (...names: string[]) => podNamed('p', { imagePullSecrets: names.map(name => ({ name })) });

  test('are tried in turn until one may', async () => {
    const { puller, pulls } = setUp({
      secrets,
      pull: ({ auth }) =>
        auth && 'username' in auth && auth.username === 'bob' ? Promise.resolve(record) : refused('Unauthorized', 'no')(),
    });
    await puller.ensure(pod('ann', 'bob'), container('Always'));
    assert.equal(pulls.length, 2);
  });

  test('of the machine’s providers come after those of the pod, and their failures are told', async () => {
    const login = { username: 'machine', password: 'x' };
    const providers = { loginsFor: async () => ({ logins: [login], failures: [new Error('helper failed')] }) };
    const { puller, pulls, events } = setUp({ providers });
    await puller.ensure(podNamed('p'), container('Always'));
    assert.deepEqual(
      pulls.map(({ auth }) => auth),
      [login],
    );
    assert.ok(events.some(each => /FailedToRetrieveImagePullSecret Unable to retrieve credentials \(helper failed\)/.test(each)));
  });

  test('that are missing are told, and the pull tried without', async () => {
    const { puller, pulls, events } = setUp({ secrets });
    await puller.ensure(pod('nobody'), container('Always'));
    assert.deepEqual(pulls, [{}]);
    assert.ok(
      events.some(event => event.startsWith('Warning FailedToRetrieveImagePullSecret Unable to retrieve some image pull secrets (nobody)')),
    );
  });
});
