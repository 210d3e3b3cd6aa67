/** The commands in this process: what they print, and one line for whatever is wrong. run.long.test.ts has answers. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Inspection } from '../../src/engine/inspect.ts';
import { withByteTokens } from '../support/byte-tokens.ts';
import { cli } from '../support/cli.ts';
import { thinned } from '../support/everyday.ts';
import { tensor } from '../support/encodings.ts';
import { normals } from '../support/random.ts';
import { safetensors } from '../support/weights.ts';
import { filesOf, fixturePath, SHIPPED, text, withConfig, type Files } from '../support/models.ts';

const folder = mkdtempSync(join(tmpdir(), 'webmoe-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);
const write = (name: string, files: Files): string => {
  const path = mkdtempSync(at(name));
  for (const [file, bytes] of Object.entries(files)) writeFileSync(join(path, file), bytes);
  return path;
};
const olmoe = fixturePath('families/olmoe');

describe('inspect', () => {
  it('says what the shipped model is', async () => {
    const { code, out, err } = await cli(['inspect', SHIPPED]);
    expect([code, err]).toEqual([0, '']);
    for (const said of [
      'glm4-moe',
      '135 M',
      '109 M used a token',
      '30 layers (29 with experts)',
      '16 a layer of width 64, 8 a token',
    ])
      expect(out).toContain(said);
    expect(out).toMatch(/int4/);
    expect(out).toMatch(/as-is +fits/);
  });

  it('prints JSON, and reads no weights', async () => {
    const { code, out } = await cli(['inspect', olmoe, '--json', '--gpu-budget', '100kB', '--context-length', '64']);
    expect(code).toBe(0);
    const found = JSON.parse(out) as Inspection;
    expect(found).toMatchObject({
      family: 'olmoe',
      layers: 2,
      moeLayers: 2,
      experts: { count: 16, perToken: 4, width: 32, shared: 0 },
      hidden: 64,
      vocab: 256,
      maxContext: 512,
      contextLength: 64,
      budgetBytes: 100_000,
    });
    expect(found.fit['as-is'].verdict).toBe('does-not-fit');
    expect(found.formats.bf16?.matrices).toBe(2 * (16 * 3 + 4 + 1) + 2);
  });
});

it('inspect counts what adapters that requests choose keep on the GPU', async () => {
  const at = 'base_model.model.model.layers.0.mlp.experts.0.up_proj';
  const folder = write('adapter-', {
    'adapter_config.json': new TextEncoder().encode(
      JSON.stringify({ peft_type: 'LORA', r: 2, lora_alpha: 2, target_modules: 'all-linear' }),
    ),
    'adapter_model.safetensors': safetensors({
      [`${at}.lora_A.weight`]: tensor('F32', [2, 64], normals(1, 2 * 64)),
      [`${at}.lora_B.weight`]: tensor('F32', [32, 2], normals(2, 32 * 2)),
    }),
  });
  const { code, out } = await cli(['inspect', olmoe, '--adapters', `mine=${folder}`]);
  expect([code, out]).toEqual([0, expect.stringMatching(/as-is .*activations [^,]*, adapters [\d.]+ [kM]B\)/)]);
  expect((await cli(['inspect', olmoe])).out).not.toContain('adapters');
});

it('inspect says which factors of longrope the context has', async () => {
  const of = async (context: number): Promise<string> =>
    (await cli(['inspect', fixturePath('families/phimoe-longrope'), '--context-length', `${context}`])).out;
  expect(await of(24)).toContain('longrope with short factors: short up to a context of 24');
  expect(await of(25)).toContain('longrope with long factors');
  expect((await cli(['inspect', olmoe])).out).not.toContain('longrope');
});

it('inspect drafts a family file for a model that no family claims', async () => {
  const changed = withConfig(filesOf(olmoe), { model_type: 'olmoe3', router_softcap: 30 });
  const { code, out, err } = await cli(['inspect', write('unknown', changed)]);
  expect(code).toBe(2);
  expect(err).toContain('Nearest: olmoe, which does not know router_softcap');
  expect(out).toContain("c.only('router_softcap', 30);");
  expect(out).toContain("import { olmoe } from './olmoe.ts';");
});

describe('bad input ends with 2 and one line', () => {
  const broken = (changes: Record<string, unknown>): string => write('broken', withConfig(filesOf(olmoe), changes));
  writeFileSync(at('empty.json'), '[]');
  writeFileSync(at('words.json'), '["a"]');
  writeFileSync(at('far.json'), '[256]');
  writeFileSync(at('one.json'), '[1]');
  writeFileSync(at('not.json'), '{"not": {"type": "string"}}');
  const byByte = write('bytes', withByteTokens(filesOf(olmoe)));
  const run = ['run', '--model', byByte, '--prompt', 'x'];
  const truncated = filesOf(olmoe);
  const shard = 'model-00002-of-00002.safetensors';
  truncated[shard] = truncated[shard]!.slice(0, -1);
  const score = ['logits', '--model', olmoe, '--out', at('x'), '--ids'];

  it.each(
    thinned<[string[], RegExp]>(
      [
        [['fly'], /unknown command fly/],
        [['constructor'], /unknown command constructor/],
        [['run'], /--model is required/],
        [['run', '--model', olmoe, '--bogus'], /bogus/],
        [['run', '--model', olmoe, 'extra'], /extra/],
        [['run', '--model', olmoe, '--temperature', 'warm'], /--temperature/],
        [['run', '--model', olmoe, '--weights', 'q5'], /--weights must be one of auto, as-is, q8, q4/],
        [['run', '--model', at('nowhere'), '--prompt', 'x'], /nowhere/],
        [['run', '--model', olmoe, '--prompt', 'x'], /tokenizer\.json/],
        [['run', '--model', olmoe, '--prompt', 'x', '--context-length', '9999'], /contextLength/],
        [['run', '--model', olmoe, '--prompt', 'x', '--gpu-budget', '100kB'], /does not fit/],
        [[...run, '--logit-bias', '5'], /--logit-bias must be as in 42:-100,7:2\.5, got 5/],
        [[...run, '--json-schema', at('missing.json')], /--json-schema .*missing\.json/],
        [[...run, '--logit-bias', '256:1'], /token 256; the vocabulary has ids 0 to 255/],
        [[...run, '--json-schema', at('not.json')], /not/],
        [['inspect'], /give a folder or URL/],
        [['inspect', at('nowhere')], /nowhere/],
        [['inspect', olmoe, olmoe], /unexpected argument/],
        [['inspect', broken({ model_type: 'mamba' }), '--json'], /mamba/],
        [['inspect', broken({ router_softcap: 30 })], /router_softcap/],
        [['inspect', broken({ hidden_act: 'relu' })], /relu/],
        [['inspect', broken({ quantization_config: { quant_method: 'aqlm' } })], /aqlm/],
        [['inspect', broken({ hidden_size: 128 })], /\[.*\]/],
        [['inspect', write('cut', truncated)], /model-00002-of-00002/],
        [['inspect', write('none', { 'config.json': text('{}') })], /model_type/],
        [['inspect', 'http://127.0.0.1:1/model'], /127\.0\.0\.1/],
        [[...score, at('missing.json')], /cannot read .*missing\.json/],
        [[...score, at('words.json')], /words\.json must hold a JSON array of token ids/],
        [[...score, at('empty.json')], /empty/],
        [[...score, at('far.json')], /Token 0 of the prompt is 256/],
        [
          ['logits', '--model', olmoe, '--ids', at('one.json'), '--out', at('no/such/folder')],
          /cannot write .*no\/such\/folder/,
        ],
        [['serve', '--model', olmoe, '--adapters', 'poems'], /--adapters must be as in poems=DIR/],
        [['bench', '--model', olmoe, '--decode-tokens', '1'], /--decode-tokens must be a whole number of at least 2/],
      ],
      3,
    ),
  )('webmoe %j', async (argv, message) => {
    const { code, out, err } = await cli(argv);
    expect(err).toMatch(message);
    expect([code, out, err.split('\n').length]).toEqual([2, '', 2]);
    expect(err.startsWith('webmoe: ')).toBe(true);
  });
});

it('helps', async () => {
  const all = await cli(['--help']);
  expect(all.code).toBe(0);
  for (const command of ['run', 'logits', 'inspect', 'bench']) {
    expect(all.out).toContain(command);
    const own = await cli([command, '--help']);
    expect([own.code, own.err]).toEqual([0, '']);
    expect(own.out).toMatch(new RegExp(`^usage: webmoe ${command}`));
  }
  expect(await cli([])).toEqual({ code: 2, out: all.out, err: '' });
});
