/** Loading: what it reports, what it refuses and how it says so, and that it leaves nothing behind when it does not succeed. */
import { describe, expect, it } from 'vitest';
import { loadOn, type LoadOptions } from '../../src/engine/load.ts';
import type { LoadProgress } from '../../src/engine/progress.ts';
import { InvalidCheckpoint, OutOfBudget, SourceError, UnsupportedModel, type WebmoeError } from '../../src/errors.ts';
import { memoryFolder } from '../../src/weights/records/memory-folder.ts';
import type { ByteSource } from '../../src/weights/source.ts';
import { openModelGpu } from '../support/gpu.ts';
import { withLetters } from '../support/letters.ts';
import {
  filesOf,
  FIXTURES,
  fixturePath,
  text,
  withConfig,
  withModel,
  withTensor,
  type Files,
} from '../support/models.ts';
import { thinned } from '../support/everyday.ts';
import { memorySource } from '../support/weights.ts';

const gpu = await openModelGpu();
const files = filesOf(fixturePath('families/olmoe'));
const FIRST_SHARD = 'model-00001-of-00002.safetensors';

type Options = Omit<LoadOptions, 'gpu'>;

/** The error of a load that must fail, after which no byte may be left. */
async function failed(source: ByteSource, options: Options = {}): Promise<unknown> {
  const own = gpu.share();
  const error = await loadOn(own, source, { contextLength: 64, ...options }).then(
    () => expect.fail('it loaded'),
    (e: unknown) => e,
  );
  expect(Object.values(own.ledger.bytesByRole()).every((bytes) => bytes === 0)).toBe(true);
  return error;
}

const without = (from: Files, name: string): Files =>
  Object.fromEntries(Object.entries(from).filter(([file]) => file !== name));

describe('progress', () => {
  it.each(thinned(FIXTURES, FIXTURES.length))(
    '%s: phases in order, bytes up to the size of the weights',
    async (fixture) => {
      const from = filesOf(fixturePath(fixture));
      const reports: LoadProgress[] = [];
      const onProgress = (p: LoadProgress): void => void reports.push(p);
      const model = await loadOn(gpu.share(), memorySource(from), { contextLength: 64, onProgress });
      await model.dispose();
      const order = ['open', 'weights', 'compile', 'ready'];
      const phases = reports.map((r) => order.indexOf(r.phase));
      expect(phases).toEqual([...phases].sort());
      expect(new Set(phases).size).toBe(4);
      const loaded = reports.map((r) => r.loadedBytes);
      expect(loaded).toEqual([...loaded].sort((a, b) => a - b));
      expect(reports.at(-1)).toMatchObject({ phase: 'ready', loadedBytes: model.plan.downloadBytes });
      // Everything but headers, norms, biases and sinks.
      const stored = Object.entries(from)
        .filter(([name]) => name.startsWith('model') && name.endsWith('.safetensors'))
        .reduce((n, [, bytes]) => n + bytes.length, 0);
      expect(model.plan.downloadBytes).toBeLessThan(stored);
      expect(model.plan.downloadBytes).toBeGreaterThan(0.75 * stored);
      // By file: all of each, and together the same.
      const byFile = reports.at(-1)!.files!;
      expect(byFile.map(({ name }) => name)).toEqual([...new Set(byFile.map(({ name }) => name))].sort());
      expect(byFile.reduce((n, { totalBytes }) => n + totalBytes, 0)).toBe(model.plan.downloadBytes);
      for (const { name, loadedBytes, totalBytes } of byFile) {
        expect(loadedBytes, name).toBe(totalBytes);
        expect(totalBytes, name).toBeLessThan(from[name]!.length);
      }
    },
  );

  it('counts what an earlier load left as loaded, by file too', async () => {
    const storage = { root: memoryFolder() };
    await withModel(gpu, fixturePath('families/olmoe'), { storage }, (model) => model.settled());
    const reports: LoadProgress[] = [];
    const onProgress = (p: LoadProgress): void => void reports.push(p);
    await withModel(gpu, fixturePath('families/olmoe'), { storage, onProgress }, async (model) => {
      expect(reports.at(-1)).toMatchObject({ phase: 'ready', loadedBytes: model.plan.downloadBytes });
      for (const { loadedBytes, totalBytes } of reports.at(-1)!.files!) expect(loadedBytes).toBe(totalBytes);
    });
  });
});

describe('a budget', () => {
  it('makes auto take fewer bits, and is kept', async () => {
    const options = { contextLength: 32, prefillChunk: 8 };
    const bytes: Record<string, number> = {};
    const precisions = thinned(['q4', 'q8', 'as-is'] as const, 3);
    for (const weights of precisions) {
      const model = await loadOn(gpu.share(), memorySource(files), { ...options, weights });
      bytes[weights] = model.plan.totalBytes;
      await model.dispose();
    }
    for (const precision of precisions) {
      const gpuBytes = bytes[precision]!;
      const model = await loadOn(gpu.share(), memorySource(files), { ...options, gpuBytes });
      expect(model.plan.precision).toBe(precision);
      expect(Object.values(model.gpuBytes).reduce((a, b) => a + b, 0)).toBeLessThanOrEqual(gpuBytes);
      await model.dispose();
    }
    expect(await failed(memorySource(files), { ...options, gpuBytes: bytes.q4! - 1 })).toBeInstanceOf(OutOfBudget);
  });

  it('is not exceeded when the caller insists on a precision', async () => {
    const error = (await failed(memorySource(files), { weights: 'as-is', gpuBytes: 100_000 })) as OutOfBudget;
    expect(error).toBeInstanceOf(OutOfBudget);
    expect(error.message).toMatch(/takes at least \d+ bytes of GPU memory, the budget is 100000: raise gpuBytes/);
  });
});

describe('abort', () => {
  it('before, and at every report, frees everything', async () => {
    const reason = new Error('enough');
    expect(await failed(memorySource(files), { signal: AbortSignal.abort(reason) })).toBe(reason);
    for (let nth = 1; nth <= 4; nth++) {
      const stop = new AbortController();
      let reports = 0;
      const onProgress = (): void => {
        if (++reports === nth) stop.abort(reason);
      };
      const own = gpu.share();
      const loading = loadOn(own, memorySource(files, 512), { contextLength: 64, onProgress, signal: stop.signal });
      const outcome = await loading.catch((e: unknown) => e);
      if (outcome !== reason) expect(nth).toBe(4); // the fourth report may be `ready`
      if (outcome instanceof Object && 'dispose' in outcome) await (outcome as { dispose(): Promise<void> }).dispose();
      expect(Object.values(own.ledger.bytesByRole()).every((bytes) => bytes === 0)).toBe(true);
    }
  });
});

describe('a source that fails', () => {
  /** Hands over `bytes` bytes of the first shard beyond its header, then does `what`. */
  const failing = (bytes: number, what: () => void): ByteSource => {
    const inner = memorySource(files);
    let left = bytes;
    return {
      label: 'flaky',
      size: (file) => inner.size(file),
      async *stream(file, begin, end, signal) {
        if (file === FIRST_SHARD && begin > 0) {
          left -= end - begin;
          if (left < 0) return what();
        }
        yield* inner.stream(file, begin, end, signal);
      },
    };
  };

  it.each([0, 20_000, 150_000])('after %i bytes: its own error arrives, nothing stays', async (bytes) => {
    const own = new SourceError(`flaky: ${FIRST_SHARD}: connection lost`, { file: FIRST_SHARD });
    const error = await failed(
      failing(bytes, () => {
        throw own;
      }),
    );
    expect(error).toBe(own);
  });

  it('by ending early: the error names the file', async () => {
    const error = await failed(failing(50_000, () => undefined));
    expect(error).toBeInstanceOf(SourceError);
    expect((error as SourceError).message).toContain(FIRST_SHARD);
    expect((error as SourceError).details).toMatchObject({ file: FIRST_SHARD });
  });
});

describe('refuses', () => {
  const Q = 'model.layers.0.self_attn.q_proj.weight';
  const EXPERT = 'model.layers.1.mlp.experts.3.up_proj.weight';
  const deepseek = filesOf(fixturePath('families/deepseek-v3'));
  const gptOss = filesOf(fixturePath('families/gpt-oss'));
  const invalid = (fault: string) => ({ type: InvalidCheckpoint, fault });
  const unsupported = { type: UnsupportedModel };

  it.each<[string, Files, { type: new (...args: never) => WebmoeError; fault?: string }, RegExp]>([
    ['a folder without config.json', without(files, 'config.json'), invalid('missing-file'), /config\.json/],
    [
      'a folder without weights',
      without(files, 'model.safetensors.index.json'),
      invalid('missing-file'),
      /model\.safetensors/,
    ],
    ['a missing shard', without(files, FIRST_SHARD), invalid('missing-file'), /model-00001-of-00002/],
    [
      'a config that is no JSON',
      { ...files, 'config.json': text('{"model_type":') },
      invalid('config'),
      /config\.json is not JSON/,
    ],
    [
      'a config that is no text',
      { ...files, 'config.json': new Uint8Array([0xff, 0xfe, 0x80]) },
      invalid('config'),
      /config\.json is not UTF-8/,
    ],
    ['an unknown family', withConfig(files, { model_type: 'llama' }), unsupported, /llama/],
    ['an unknown key', withConfig(files, { router_softcap: 30 }), unsupported, /router_softcap/],
    ['an impossible value', withConfig(files, { num_experts_per_tok: 0 }), invalid('config'), /num_experts_per_tok/],
    [
      'more experts than the files have',
      withConfig(files, { num_experts: 17 }),
      invalid('wrong-shape'),
      /mlp\.gate\.weight|experts\.16/,
    ],
    [
      'more layers than the files have',
      withConfig(files, { num_hidden_layers: 3 }),
      invalid('missing-tensor'),
      /model\.layers\.2\./,
    ],
    [
      'another vocabulary',
      withConfig(files, { vocab_size: 300 }),
      invalid('wrong-shape'),
      /embed_tokens.*\[256, ?64\].*\[300, ?64\]|embed_tokens.*\[300, ?64\].*\[256, ?64\]/,
    ],
    [
      'a projection of another shape',
      withTensor(files, Q, { shape: [32, 128] }),
      invalid('wrong-shape'),
      /q_proj.*\[32, ?128\].*\[64, ?64\]|q_proj.*\[64, ?64\].*\[32, ?128\]/,
    ],
    [
      'a missing norm',
      withTensor(deepseek, 'model.norm.weight', { rename: 'model.norm.extra' }),
      invalid('missing-tensor'),
      /model\.norm\.weight/,
    ],
    [
      'a missing projection',
      withTensor(deepseek, 'model.layers.1.self_attn.o_proj.weight', { rename: 'x' }),
      invalid('missing-tensor'),
      /layers\.1\.self_attn\.o_proj/,
    ],
    [
      'a missing expert',
      withTensor(deepseek, 'model.layers.2.mlp.experts.5.down_proj.weight', { rename: 'x' }),
      invalid('missing-tensor'),
      /(Expert 5|experts\.5)/,
    ],
    [
      'a missing selection bias',
      withTensor(deepseek, 'model.layers.1.mlp.gate.e_score_correction_bias', { rename: 'x' }),
      invalid('missing-tensor'),
      /e_score_correction_bias/,
    ],
    [
      'missing sinks',
      withTensor(gptOss, 'model.layers.0.self_attn.sinks', { rename: 'x' }),
      invalid('missing-tensor'),
      /sinks/,
    ],
    [
      'an index that lies',
      withTensor(files, EXPERT, { rename: 'x' }),
      invalid('missing-tensor'),
      /experts\.3\.up_proj/,
    ],
    [
      'an unsupported quantisation',
      withConfig(files, { quantization_config: { quant_method: 'aqlm', bits: 4 } }),
      unsupported,
      /aqlm/,
    ],
    [
      'a quantisation that is not announced',
      withTensor(deepseek, 'model.layers.0.mlp.up_proj.weight', {
        rename: 'model.layers.0.mlp.gate_proj.weight_scale_inv',
      }),
      unsupported,
      /weight_scale_inv/,
    ],
    [
      'a truncated shard',
      { ...files, [FIRST_SHARD]: files[FIRST_SHARD]!.slice(0, -8) },
      invalid('truncated'),
      /model-00001-of-00002/,
    ],
    [
      'an empty shard',
      { ...files, [FIRST_SHARD]: new Uint8Array(0) },
      invalid('header-too-small'),
      /model-00001-of-00002/,
    ],
    [
      'an end token beyond the vocabulary',
      { ...files, 'generation_config.json': text({ eos_token_id: 256 }) },
      invalid('config'),
      /end token 256/,
    ],
    [
      'a sampling wish out of range',
      { ...files, 'generation_config.json': text({ top_p: 2 }) },
      invalid('config'),
      /generation_config\.json.*top_p/,
    ],
    [
      'a tokenizer larger than the embedding',
      withLetters(filesOf('test/fixtures/families/olmoe')),
      invalid('tokenizer'),
      /./,
    ],
    ['a tokenizer that is no JSON', { ...files, 'tokenizer.json': text('[') }, invalid('tokenizer'), /tokenizer\.json/],
  ])('%s', async (what, from, { type, fault }, message) => {
    if (what.startsWith('a tokenizer larger')) {
      const json = JSON.parse(new TextDecoder().decode(from['tokenizer.json'])) as { added_tokens: unknown[] };
      json.added_tokens.push({ id: 256, content: '<more>', special: true });
      from['tokenizer.json'] = text(json);
    }
    const error = await failed(memorySource(from));
    expect(error).toBeInstanceOf(type);
    expect((error as WebmoeError).message).toMatch(message);
    expect((error as WebmoeError).message).not.toContain('\n');
    if (fault) expect((error as InvalidCheckpoint).fault).toBe(fault);
  });

  it.each([
    ['contextLength', 0],
    ['contextLength', 513],
    ['prefillChunk', 0],
  ])('%s = %i', async (option, value) => {
    expect(((await failed(memorySource(files), { [option]: value })) as WebmoeError).message).toContain(option);
  });
});
