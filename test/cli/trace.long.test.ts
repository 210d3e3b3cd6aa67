/** `webmoe trace record` on a small model: what it writes is what the model says. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { load } from '../../src/cli/load-engine.ts';
import { readTrace } from '../../src/trace/npz.ts';
import { cli } from '../support/cli.ts';
import { letters, withLetters } from '../support/letters.ts';
import { filesOf, fixturePath } from '../support/models.ts';

const folder = mkdtempSync(join(tmpdir(), 'webmoe-record-'));
afterAll(() => rmSync(folder, { recursive: true }));
for (const [file, bytes] of Object.entries(withLetters(filesOf(fixturePath('families/olmoe')))))
  writeFileSync(join(folder, file), bytes);
const prompts = join(folder, 'prompts.json');
const out = join(folder, 'out.npz');
const record = (...more: string[]): ReturnType<typeof cli> =>
  cli(['trace', 'record', '--model', folder, '--prompts', prompts, '--out', out, '--max-tokens', '5', ...more]);

it('records prompts and answers, whose routing the model repeats', async () => {
  writeFileSync(prompts, JSON.stringify(['abcdef', { prompt: 'hgfe', domain: 'letters', logits: true }]));
  const { code, err } = await record('--keep', 'f32', '--seed', '3');
  expect(code, err).toBe(0);
  expect(err).toBe('chat 1 of 2: 5 steps\nchat 2 of 2: 5 steps\n');
  const trace = readTrace(readFileSync(out));
  expect(trace.model).toMatchObject({ layers: 2, experts: 16, topK: 4 });
  expect(trace.model.expertBytes).toHaveLength(2);
  expect(trace.steps.map((s) => [s.phase, s.chat])).toEqual(
    [0, 1].flatMap((chat) => [['prefill', chat], ...Array.from({ length: 4 }, () => ['decode', chat])]),
  );

  // All tokens of the first chat at once, as one prompt: the same experts.
  const model = await load(folder);
  try {
    const ids = [...model.text!.tokenizer.encode('abcdef', { affixes: true })];
    const answer: number[] = [];
    const logprobs: number[] = [];
    for await (const { id, logprob } of model.generate({ ids }, { maxTokens: 5, temperature: 0.7, seed: 3 })) {
      answer.push(id);
      logprobs.push(logprob);
    }
    const { routing } = await model.logits([...ids, ...answer.slice(0, -1)]);
    const tokens = ids.length + 4;
    expect(trace.steps[0]!.tokens).toBe(ids.length);
    expect([...trace.tokens!.subarray(0, tokens)]).toEqual([...ids, ...answer.slice(0, -1)]);
    expect(trace.texts!.slice(0, tokens)).toEqual([...ids, ...answer.slice(0, -1)].map(letters));
    expect([...trace.logprobs!.subarray(ids.length - 1, tokens)]).toEqual(logprobs.map(Math.fround));
    expect(trace.logprobs![0]).toBeNaN();
    expect(trace.chats).toEqual([
      { name: 'abcdef', domain: null },
      { name: 'hgfe', domain: 'letters' },
    ]);
    expect(trace).toMatchObject({ scoring: 'softmax', sharedExperts: 0, provenance: { kind: 'recorded' } });
    expect(trace.timing!.ms.every((ms) => ms > 0)).toBe(true);
    const row = 2 * 16; // layers x experts
    expect(trace.logits!.subarray(0, tokens * row).every(Number.isNaN)).toBe(true);
    expect(trace.logits!.subarray(tokens * row).every(Number.isFinite)).toBe(true);
    for (let t = 0; t < tokens; t++)
      for (let l = 0; l < 2; l++) {
        const recorded = trace.ids.subarray((t * 2 + l) * 4, (t * 2 + l + 1) * 4);
        expect([...recorded]).toEqual([...routing[l]!.ids.subarray(t * 4, t * 4 + 4)]);
      }
  } finally {
    await model.dispose();
  }
});

it('refuses prompts that are none, and a place that is not there', async () => {
  writeFileSync(prompts, '{}');
  expect(await record()).toMatchObject({ code: 2, err: expect.stringMatching(/must hold a JSON array/) as string });
  writeFileSync(prompts, '["a"]');
  const lost = await record('--out', join(folder, 'no', 'out.npz'));
  expect(lost).toMatchObject({ code: 2, err: expect.stringMatching(/cannot write/) as string });
});
