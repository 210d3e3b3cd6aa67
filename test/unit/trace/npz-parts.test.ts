/** The members of a trace file that views show beside the experts. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { unzipSync, zipSync } from 'fflate';
import { afterAll, describe, expect, it } from 'vitest';
import { InvalidTrace } from '../../../src/errors.ts';
import { checkTrace } from '../../../src/trace/check-trace.ts';
import { joinTraces } from '../../../src/trace/join-traces.ts';
import { encodeNpy } from '../../../src/trace/npy.ts';
import { readTrace, writeTrace } from '../../../src/trace/npz.ts';
import type { Trace } from '../../../src/trace/trace.ts';
import { cyclicTrace, richTrace } from '../../support/traces.ts';

const folder = mkdtempSync(join(tmpdir(), 'webmoe-npz-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** The archive with one member replaced or added. */
const withMember = (name: string, bytes: Uint8Array<ArrayBuffer>): Uint8Array =>
  zipSync({ ...unzipSync(writeTrace(richTrace)), [`${name}.npy`]: bytes });
const meta = (change: Record<string, unknown>): Uint8Array => {
  const bytes = unzipSync(writeTrace(richTrace))['meta.npy']!;
  const json = JSON.parse(new TextDecoder().decode(bytes.subarray(128))) as Record<string, unknown>;
  const text = new TextEncoder().encode(JSON.stringify({ ...json, ...change }));
  return withMember('meta', encodeNpy(text, [text.length]));
};
const texts = (list: unknown): Uint8Array => {
  const bytes = new TextEncoder().encode(JSON.stringify(list));
  return withMember('texts', encodeNpy(bytes, [bytes.length]));
};

describe('the parts of a trace file', () => {
  it('come back whole', () => {
    expect(readTrace(writeTrace(richTrace))).toEqual(richTrace);
    const { logits, ...rest } = readTrace(writeTrace(richTrace, { logits: 'none' }));
    const { logits: all, ...others } = richTrace;
    expect(logits).toBeUndefined();
    expect(rest).toEqual(others);
    const odd = { ...richTrace, logits: all.map((x) => x / 3) };
    expect(readTrace(writeTrace(odd, { logits: 'f32' })).logits).toEqual(odd.logits);
  });

  it('a file of version 1 has none of them', () => {
    const plain = cyclicTrace(2, 2, 2, 3);
    const members = unzipSync(writeTrace(plain));
    const old = new TextEncoder().encode(
      '{"format":"webmoe-trace","version":1,"model":{"name":"made-up","experts":4}}',
    );
    const file = zipSync({ ...members, 'meta.npy': encodeNpy(old, [old.length]) });
    expect(readTrace(file)).toEqual(plain);
  });

  it.each<[string, Uint8Array, RegExp]>([
    ['too few tokens', withMember('token_ids', encodeNpy(new Int32Array(3), [3])), /token_ids must be i4 \[4\]/],
    ['a token below unknown', withMember('token_ids', encodeNpy(Int32Array.of(0, 0, -2, 0), [4])), /token ids/],
    ['a missing text', texts(['a', 'b', 'c']), /4 pieces/],
    ['a text that is a number', texts(['a', 'b', 'c', 4]), /4 pieces/],
    ['a text without end', texts(['a', 'b', 'c', 'd'.repeat(1001)]), /at most 1000/],
    ['texts that are no list', texts({ length: 4 }), /texts must be a list/],
    ['texts that are no JSON', withMember('texts', encodeNpy(Uint8Array.of(255), [1])), /not JSON/],
    [
      'logits of K',
      withMember('logits', encodeNpy(new Float32Array(16), [4, 2, 2])),
      /logits must be f2 or f4 \[4, 2, 3\]/,
    ],
    ['an infinite logit', withMember('logits', encodeNpy(new Float32Array(24).fill(-Infinity), [4, 2, 3])), /infinite/],
    ['a probability above 1', withMember('logprobs', encodeNpy(Float32Array.of(0, 0, 0, 1), [4])), /at most 0/],
    [
      'times of two steps',
      withMember('step_ms', encodeNpy(new Float32Array(4), [2, 2])),
      /step_ms must be f4 \[3, 2\]/,
    ],
    ['a negative time', withMember('step_ms', encodeNpy(new Float32Array(6).fill(-1), [3, 2])), /at least 0/],
    [
      'bytes without end',
      withMember('step_bytes', encodeNpy(new Float64Array(6).fill(Infinity), [3, 2])),
      /at least 0/,
    ],
    ['a chat too few', meta({ chats: [{ name: 'x' }] }), /steps name chat 1, but it describes 1/],
    ['a chat without a name', meta({ chats: [{ name: 'x' }, {}] }), /name and domain/],
    ['chats that are none', meta({ chats: 7 }), /chats must be a list/],
    ['an unknown scoring', meta({ scoring: 'argmax' }), /scoring must be one of softmax, sigmoid/],
    ['an unknown origin', meta({ provenance: { kind: 'true', note: '' } }), /provenance must be one of live/],
    ['an origin without a note', meta({ provenance: { kind: 'live' } }), /must be texts/],
    ['half a shared expert', meta({ shared_experts: 0.5 }), /0\.5 shared/],
    ['a name without end', meta({ model: { name: 'x'.repeat(1001), experts: 3 } }), /name must be a text/],
    ['a model too large', meta({ model: { name: 'x', experts: 1e9 } }), /must be f2 or f4|no MoE model/],
  ])('refuse %s', (_, bytes, message) => {
    expect(() => readTrace(bytes, 'x.npz')).toThrow(InvalidTrace);
    expect(() => readTrace(bytes, 'x.npz')).toThrow(message);
  });

  it('a table of experts has a bound', () => {
    const model = { name: 'x', layers: 100, experts: 60_000, topK: 1, expertBytes: Array<number>(100).fill(1) };
    const empty: Trace = { model, steps: [], ids: new Uint16Array(), weights: null, origins: null };
    expect(() => checkTrace(empty)).toThrow(/more than 1048576/);
  });

  it('join: what only some have is unknown in the others', () => {
    const { model, ids, steps, weights } = richTrace;
    const bare: Trace = { model, steps, ids, weights, origins: null, scoring: 'sigmoid', sharedExperts: 1 };
    const joined = checkTrace(joinTraces([richTrace, bare]));
    expect([...joined.tokens!]).toEqual([5, 70_000, -1, 0, -1, -1, -1, -1]);
    expect(joined.logits!.subarray(0, 24)).toEqual(richTrace.logits);
    expect(joined.logits!.subarray(24).every(Number.isNaN)).toBe(true);
    expect([...joined.timing!.ms]).toEqual([10.5, 3, NaN, NaN, NaN, NaN]);
    expect(joined).not.toHaveProperty('texts');
    expect(joined.origins).toBeNull();
    expect(joined.chats!.map((c) => c.name)).toEqual(['first', '<script>', 'chat 3', 'chat 4']);
    expect(joined.provenance).toEqual(richTrace.provenance);
    expect(joinTraces([richTrace, richTrace]).texts).toEqual([...richTrace.texts, ...richTrace.texts]);
    expect(() => joinTraces([richTrace, { ...bare, sharedExperts: 2 }])).toThrow(InvalidTrace);
  });
});

it.skipIf(spawnSync('python3', ['-c', 'import numpy']).status !== 0)('NumPy reads every part', () => {
  const file = join(folder, 'rich.npz');
  writeFileSync(file, writeTrace(richTrace));
  const program = `
import json, sys
import numpy as np
t = np.load(sys.argv[1])
print({name: [str(t[name].dtype), list(t[name].shape)] for name in sorted(t.files)})
print(t["token_ids"].tolist(), json.loads(t["texts"].tobytes())[2], t["step_bytes"][0].tolist(), np.isnan(t["logits"]).sum())
print(json.loads(t["meta"].tobytes())["chats"][0]["domain"])
`;
  const { stdout, stderr } = spawnSync('python3', ['-c', program, file], { encoding: 'utf8' });
  expect(stderr).toBe('');
  const [parts, values, domain] = stdout.split('\n');
  expect(parts).toContain("'logits': ['float16', [4, 2, 3]]");
  expect(parts).toContain("'step_ms': ['float32', [3, 2]]");
  expect(values).toBe('[5, 70000, -1, 0] <b>\u00e9 [1099511627776.0, 0.0] 3');
  expect(domain).toBe('code');
});
