import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { seededRandom } from '#base/ids.ts';
import { isUmiakError } from '#base/index.ts';
import { ProtobufSchema, type ProtobufTable } from './protobuf-schema.ts';

const table: ProtobufTable = {
  messages: {
    Boat: {
      1: ['name', 'string'],
      2: ['length', 'int32'],
      3: ['crew', 'Sailor', 'list'],
      4: ['flags', 'string', 'map'],
      5: ['kind', 'Kind'],
      6: ['depths', 'int64', 'list'],
      7: ['log', 'bytes'],
      8: ['afloat', 'bool'],
      9: ['speed', 'double'],
      10: ['weight', 'uint64'],
      11: ['tender', 'Boat'],
      12: ['kinds', 'Kind', 'list'],
      13: ['maybe', 'int32', 'optional'],
      14: ['sailors', 'Sailor', 'map'],
      15: ['dry', 'bool', 'list'],
    },
    Sailor: { 1: ['name', 'string'] },
  },
  enums: { Kind: { UMIAK: 0, KAYAK: 1, CANOE: 2 } },
  services: {},
};
const schema = new ProtobufSchema(table);
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');

/** Bytes as protobuf's own encoders write them, and the message that they are. */
const golden: [what: string, bytes: string, message: object][] = [
  ['nothing', '', {}],
  ['a string', '0a 05 7375737369', { name: 'sussi' }],
  ['a number below zero takes ten bytes', '10 ffffffffffffffffff01', { length: -1 }],
  ['messages in a list, an empty one too', '1a 03 0a0141 1a 00', { crew: [{ name: 'A' }, {}] }],
  ['a map, sorted', '22 06 0a0161 120131 22 06 0a0162 120132', { flags: { a: '1', b: '2' } }],
  ['an enum by its name', '28 01', { kind: 'KAYAK' }],
  ['numbers in a list, packed', '32 04 01 96 01 00', { depths: [1, 150, 0] }],
  ['bytes', '3a 02 00ff', { log: Buffer.from([0, 255]) }],
  ['truth', '40 01', { afloat: true }],
  ['a double', '49 000000000000f83f', { speed: 1.5 }],
  ['a big number', '50 8080808080808001', { weight: 2 ** 49 }],
  ['a message in itself', '5a 02 0a00'.replace('0a00', '1005'), { tender: { length: 5 } }],
  ['enums, packed', '62 02 02 00', { kinds: ['CANOE', 'UMIAK'] }],
  ['a zero that is a value', '68 00', { maybe: 0 }],
  ['a map of messages', '72 08 0a016b 1203 0a0156', { sailors: { k: { name: 'V' } } }],
  ['truths, packed', '7a 02 01 00', { dry: [true, false] }],
];

describe('ProtobufSchema', () => {
  for (const [what, bytes, message] of golden)
    it(`writes and reads ${what}`, () => {
      assert.equal(schema.encode('Boat', message).toString('hex'), hex(bytes).toString('hex'));
      assert.deepEqual(schema.decode('Boat', hex(bytes)), message);
    });

  it('leaves zeros out', () => {
    const zeros = { name: '', length: 0, crew: [], flags: {}, kind: 'UMIAK', depths: [], log: Buffer.alloc(0), afloat: false, speed: 0 };
    assert.equal(schema.encode('Boat', zeros).length, 0);
  });

  it('reads numbers of a list one by one too, and passes over fields that it does not know', () => {
    assert.deepEqual(schema.decode('Boat', hex('30 01 32 02 02 03 30 04')), { depths: [1, 2, 3, 4] });
    assert.deepEqual(schema.decode('Boat', hex('f8 07 05 fa 07 02 0102 f9 07 0000000000000000 fd 07 00000000 10 07')), { length: 7 });
  });

  it('keeps keys of maps that are names of objects', () => {
    const { flags } = schema.decode<{ flags: object }>('Boat', schema.encode('Boat', { flags: Object.fromEntries([['__proto__', 'x']]) }));
    assert.deepEqual(Object.entries(flags), [['__proto__', 'x']]);
  });

  const refused: [what: string, bytes: string, why: RegExp][] = [
    ['a text as a number', '08 01', /wrong wire type/],
    ['an end in the middle of a text', '0a 05 41', /middle of a field/],
    ['an end in the middle of a number', '10 ff', /middle of a number/],
    ['a number without end', `10 ${'ff'.repeat(11)}`, /longer than 10 bytes/],
    ['an enum value that nobody knows', '28 63', /Kind 99, which is not known/],
    ['a group', '0b', /wire type/],
    ['field 0', '02 00', /field number 0/],
    ['a packed number that ends outside', '32 01 ff', /middle of a number/],
  ];
  for (const [what, bytes, why] of refused)
    it(`refuses ${what}`, () => {
      assert.throws(() => schema.decode('Boat', hex(bytes)), { reason: 'BadRequest', message: why });
    });

  it('refuses a message nested without end, and one with values without end', () => {
    let nested = Buffer.alloc(0);
    for (let i = 0; i < 101; i++) nested = Buffer.concat([Buffer.from([0x5a]), varint(nested.length), nested]);
    assert.throws(() => schema.decode('Boat', nested), /nested more than 100/);
    assert.throws(() => schema.decode('Boat', Buffer.alloc(1_000_002, Buffer.from([0x1a, 0]))), /more than 500000 values/);
    assert.throws(() => schema.decode('Boat', Buffer.concat([Buffer.from([0x32]), varint(600_000), Buffer.alloc(600_000)])), /numbers/);
  });

  it('writes the highest numbers again as what they are, not as others', () => {
    const most = schema.decode<{ weight: number }>('Boat', hex('50 ffffffffffffffffff01'));
    assert.equal(most.weight, 2 ** 64 - 2048);
    assert.deepEqual(schema.decode('Boat', schema.encode('Boat', most)), most);
    const signed = schema.decode<{ depths: number[] }>('Boat', hex('32 09 ffffffffffffffff7f'));
    assert.deepEqual(signed.depths, [2 ** 63 - 1024]);
    assert.deepEqual(schema.decode('Boat', schema.encode('Boat', signed)), signed);
  });

  it('says of any bytes what they are or refuses them', t => {
    const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31);
    t.diagnostic(`SEED=${seed}`);
    const random = seededRandom(seed);
    const whole = Buffer.concat(golden.map(([, bytes]) => hex(bytes)));
    for (let round = 0; round < 20_000; round++) {
      const bytes = Buffer.from(whole.subarray(0, Math.floor(random() * (whole.length + 1))));
      for (let i = Math.floor(random() * 6); i > 0 && bytes.length > 0; i--)
        bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
      try {
        const message = schema.decode<object>('Boat', bytes);
        const again = schema.decode<object>('Boat', schema.encode('Boat', message));
        assert.deepEqual(schema.encode('Boat', again), schema.encode('Boat', message));
      } catch (error) {
        assert.ok(isUmiakError(error, 'BadRequest'), `SEED=${seed}, round ${round}: ${error}`);
      }
    }
  });
});

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return Buffer.from([...bytes, rest]);
}
