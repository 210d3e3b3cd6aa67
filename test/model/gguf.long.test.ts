/** A model in one GGUF file, end to end: what transformers computed for its folder, its tokenizer, its quantised weights, its splits. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { sortedRouting } from '../../src/cli/logits.ts';
import { openNodeSource } from '../../src/cli/node-source.ts';
import { loadTokenizer } from '../../src/text/tokenizer.ts';
import { ggufSource } from '../../src/weights/gguf/gguf-source.ts';
import type { ByteSource } from '../../src/weights/source.ts';
import { cli } from '../support/cli.ts';
import { expectClose } from '../support/conformance.ts';
import { Golden } from '../support/golden.ts';
import { openModelGpu } from '../support/gpu.ts';
import { ggufOf, ggufText, type Conversion } from '../support/gguf-fixture.ts';
import { withLetters } from '../support/letters.ts';
import { filesOf, fixturePath, withModel } from '../support/models.ts';
import { memorySource } from '../support/weights.ts';

const gpu = await openModelGpu();

const ggufIn = (fixture: string, conversion: Conversion = {}): ByteSource =>
  ggufSource(memorySource({ 'm.gguf': ggufOf(filesOf(fixturePath(fixture)), conversion) }), 'm.gguf');

const logitsOf = (source: ByteSource, ids: readonly number[]): Promise<Float32Array> =>
  withModel(gpu, source, { weights: 'as-is' }, async (model) => (await model.logits(ids)).logits);

describe.each(['families/mixtral', 'families/nemotron-h', 'formats/gpt-oss-mxfp4'])('%s as GGUF', (fixture) => {
  it('routes, scores and goes on as transformers does with the folder', async () => {
    const golden = new Golden(`${fixturePath(fixture)}/golden.safetensors`);
    const ids = golden.ids('prompt_ids');
    await withModel(gpu, ggufIn(fixture), {}, async (model) => {
      const result = await model.logits(ids);
      if (golden.has('topk_ids'))
        expect([...sortedRouting(result.routing, ids.length).ids]).toEqual(golden.ids('topk_ids'));
      expectClose(result.logits, golden.floats('logits'), 1e-3, 'logits');
      const wanted = golden.ids('greedy_ids');
      const drawn: number[] = [];
      const answer = model.generate({ ids }, { temperature: 0, maxTokens: wanted.length, ignoreEnd: true });
      for await (const token of answer) drawn.push(token.id);
      expect(drawn).toEqual(wanted);
    });
  });
});

it('computes with Q8_0 what it computes with the numbers that Q8_0 stands for', async () => {
  const ids = [5, 99, 3, 200, 17, 64, 1];
  const [quantised, rounded] = [
    await logitsOf(ggufIn('families/qwen3-moe', { matrices: 'Q8_0' }), ids),
    await logitsOf(ggufIn('families/qwen3-moe', { matrices: 'F32', roundedTo: 'Q8_0' }), ids),
  ];
  expectClose(quantised, rounded, 1e-3, 'logits');
});

describe('a file on disk', () => {
  const fixture = withLetters(filesOf(fixturePath('families/olmoe')));
  const folder = mkdtempSync(join(tmpdir(), 'webmoe-gguf-'));
  const path = join(folder, 'olmoe.gguf');
  writeFileSync(path, ggufOf(fixture, { metadata: ggufText(fixture) }));

  it('loads by its path, with its tokenizer, template and end token', async () => {
    await withModel(gpu, await openNodeSource(path), {}, async (model) => {
      const there = loadTokenizer(new TextDecoder().decode(fixture['tokenizer.json']), null);
      for (const text of ['abcdefgh', 'ponm', 'a'])
        expect(model.text!.tokenizer.encode(text)).toEqual(there.encode(text));
      expect(model.endTokens).toEqual([2]);
      const answer = model.generate([{ role: 'user', content: 'abab' }], { temperature: 0, maxTokens: 2 });
      let step = await answer.next();
      while (!step.done) step = await answer.next();
      expect(step.value.promptTokens).toBe(there.encode('abab').length);
    });
  });

  it('is inspected, and its formats are named', async () => {
    const { code, out, err } = await cli(['inspect', path]);
    expect([code, err]).toEqual([0, '']);
    expect(out).toMatch(/olmoe/);
    expect(out).toMatch(/bf16/);
    rmSync(folder, { recursive: true });
  });
});
