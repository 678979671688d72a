import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  lchownSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { seededRandom } from '#base/ids.ts';
import { makeNode, setTime, setXattr } from '#linux/file-attributes.ts';
import { temporaryDirectory } from './fixtures.ts';
import { unpackLayer } from './unpack.ts';

const ROUNDS = process.env.UMIAK_SOAK ? 100 : 2;

/** One line a file: everything that an archive can keep of it. */
const DESCRIBE = `
import os,sys,stat,hashlib,json
root=os.fsencode(sys.argv[1]); withXattrs=sys.argv[2]=='1'; inodes={}; out=[]
def walk(path, name):
    s=os.lstat(path); x={}
    if withXattrs:
        for a in os.listxattr(path, follow_symlinks=False): x[a]=os.getxattr(path,a,follow_symlinks=False).hex()
    data=''
    if stat.S_ISREG(s.st_mode): data=hashlib.sha256(open(path,'rb').read()).hexdigest()+':'+str(s.st_size)
    if stat.S_ISLNK(s.st_mode): data=os.fsdecode(os.readlink(path))
    first=inodes.setdefault(s.st_ino,name) if not stat.S_ISDIR(s.st_mode) else name
    out.append([name,oct(s.st_mode),s.st_uid,s.st_gid,s.st_mtime_ns if sys.argv[3]=='1' else s.st_mtime_ns//10**9,s.st_rdev,data,first,x])
    if stat.S_ISDIR(s.st_mode):
        for e in sorted(os.listdir(path)): walk(os.path.join(path,e), name+'/'+os.fsdecode(e))
walk(root,'')
json.dump(out,sys.stdout)
`;

function describe(root: string, { xattrs, nanos }: { xattrs: boolean; nanos: boolean }): unknown[] {
  const output = execFileSync('python3', ['-c', DESCRIBE, root, xattrs ? '1' : '0', nanos ? '1' : '0'], { maxBuffer: 1 << 26 });
  return JSON.parse(output.toString('utf8')) as unknown[];
}

/** A tree of everything: deep and long names, all types, odd modes, owners and times, attributes, holes, hard links. */
function growTree(root: string, random: () => number): void {
  const below = (n: number) => Math.floor(random() * n);
  const directories = [root];
  const files: string[] = [];
  const name = () => {
    const kind = below(10);
    if (kind === 0) return `${'long-name-'.repeat(8 + below(15))}${below(1000)}`;
    if (kind === 1) return `ünï cödé ${below(1000)}`;
    return `n${below(100_000)}`;
  };
  const describeFile = (path: string, isLink = false, isSpecial = isLink) => {
    const bytes = Buffer.from(path);
    lchownSync(path, below(3) === 0 ? below(3_000_000) : below(100), below(100));
    if (!isLink) chmodSync(path, [0o644, 0o755, 0o4755, 0o2755, 0o1777, 0o600, 0o400][below(7)]!);
    if (!isSpecial && below(5) === 0) setXattr(bytes, 'user.note', Buffer.from(`a\0=\n${below(100)}`));
    if (!isSpecial && below(8) === 0)
      setXattr(bytes, 'security.capability', Buffer.from('0100000200040000000000000000000000000000', 'hex'));
    setTime(bytes, { mtime: 1_600_000_000 + below(1e8), mtimeNanos: 1 + below(999_999_999) });
  };
  const made: string[] = [];
  for (let i = 0; i < 60; i++) {
    const parent = directories[below(directories.length)]!;
    const path = join(parent, name());
    if (parent.length > 1500 || statSync(path, { throwIfNoEntry: false })) continue;
    const kind = below(9);
    if (kind <= 2) {
      mkdirSync(path);
      directories.push(path);
    } else if (kind === 3) symlinkSync(['../x', '/etc/passwd', `${'t/'.repeat(80)}end`][below(3)]!, path);
    else if (kind === 4 && files.length > 0) linkSync(files[below(files.length)]!, path);
    else if (kind === 5) makeNode(Buffer.from(path), (['fifo', 'char', 'block'] as const)[below(3)]!, 0o600, 1 + below(200), below(300));
    else {
      const fd = openSync(path, 'w');
      if (below(3) === 0) {
        ftruncateSync(fd, below(4_000_000));
        for (let piece = below(60); piece > 0; piece--) writeSync(fd, Buffer.alloc(1 + below(9000), 'p'), 0, null, below(400) * 10_000);
      } else writeSync(fd, Buffer.alloc(below(20_000), `${i}`));
      closeSync(fd);
      files.push(path);
    }
    if (kind !== 4) made.push(path);
    if (kind > 2 && kind !== 4) describeFile(path, kind === 3, kind === 3 || kind === 5);
  }
  // Deepest first: making files changed their directories' times.
  for (const path of [...directories].reverse()) describeFile(path);
}

const GNU = ['--numeric-owner', '--sort=name'];
const FORMATS: { how: string; args: string[]; xattrs?: boolean; nanos?: boolean; sparse?: boolean }[] = [
  { how: 'pax', args: ['--format=posix', '--xattrs', '--xattrs-include=*'], xattrs: true, nanos: true },
  ...['0.0', '0.1', '1.0'].map(version => ({
    how: `pax, sparse ${version}`,
    args: ['--format=posix', '--sparse', `--sparse-version=${version}`],
    nanos: true,
    sparse: true,
  })),
  { how: 'gnu, sparse', args: ['--format=gnu', '--sparse'], sparse: true },
  { how: 'oldgnu', args: ['--format=oldgnu'] },
];

test('what GNU tar packs is unpacked as GNU tar unpacks it: random trees, all formats', { timeout: 600_000 }, async t => {
  const seed = Number(process.env.SEED ?? Date.now() % 1e9);
  t.diagnostic(`seed ${seed}`);
  const random = seededRandom(seed);
  for (let round = 0; round < ROUNDS; round++) {
    await using directory = await temporaryDirectory();
    const tree = join(directory.path, 'tree');
    mkdirSync(tree);
    growTree(tree, random);
    for (const { how, args, xattrs = false, nanos = false, sparse = false } of FORMATS) {
      const [archive, theirs, ours] = ['tar', 'theirs', 'ours'].map(name => join(directory.path, `${how}-${name}`)) as [
        string,
        string,
        string,
      ];
      execFileSync('tar', ['-C', tree, ...GNU, ...args, '-cf', archive, '.'], { stdio: 'pipe' });
      for (const path of [theirs, ours]) mkdirSync(path);
      execFileSync('tar', ['-C', theirs, '--numeric-owner', '-xpf', archive, ...(xattrs ? ['--xattrs', '--xattrs-include=*'] : [])], {
        stdio: 'pipe',
      });
      await unpackLayer(archive, ours);
      const [expected, got] = [theirs, ours].map(path => describe(path, { xattrs, nanos }));
      assert.deepEqual(got, expected, `seed ${seed}, round ${round}, ${how}`);
      const blocks = (path: string) => Number(execFileSync('du', ['-s', '-k', path], { encoding: 'utf8' }).split('\t')[0]);
      if (sparse) assert.ok(blocks(ours) <= blocks(theirs) + 64, `seed ${seed}, ${how}: holes stay holes`);
    }
  }
});

test('what Python packs is unpacked as it was: ustar, GNU, pax with a global header, the oldest form', async () => {
  await using directory = await temporaryDirectory();
  const script = `
import tarfile,io,sys
for form,name in ((tarfile.USTAR_FORMAT,'ustar'),(tarfile.GNU_FORMAT,'gnu'),(tarfile.PAX_FORMAT,'pax')):
    with tarfile.open(sys.argv[1]+'/'+name,'w',format=form,pax_headers={'comment':'c','mtime':'77.25','path':'nowhere'} if name=='pax' else None) as t:
        i=tarfile.TarInfo('d'*60+'/'+'e'*60+'/f'); i.size=3; i.mtime=77; t.addfile(i,io.BytesIO(b'abc'))
`;
  execFileSync('python3', ['-c', script, directory.path]);
  writeFileSync(join(directory.path, 'x'), 'old');
  execFileSync('tar', ['-C', directory.path, '--format=v7', '--mtime=@77', '-cf', join(directory.path, 'v7'), 'x']);
  for (const [form, path, content] of [
    ['ustar', `${'d'.repeat(60)}/${'e'.repeat(60)}/f`, 'abc'],
    ['gnu', `${'d'.repeat(60)}/${'e'.repeat(60)}/f`, 'abc'],
    ['pax', `${'d'.repeat(60)}/${'e'.repeat(60)}/f`, 'abc'],
    ['v7', 'x', 'old'],
  ] as const) {
    const root = join(directory.path, `${form}-root`);
    mkdirSync(root);
    await unpackLayer(join(directory.path, form), root);
    assert.equal(readFileSync(join(root, path), 'utf8'), content, form);
    assert.equal(statSync(join(root, path)).mtimeMs, form === 'pax' ? 77_250 : 77_000, form);
  }
});
