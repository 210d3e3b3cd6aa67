/** docs/models.md, from what the tests run: `node scripts/models-table.mjs` writes it, test/unit/families/models-table.test.ts compares. */
import { readFileSync } from 'node:fs';
import { readModelConfig } from '../../src/config/load.ts';
import { FAMILIES } from '../../src/families/index.ts';
import { configOf, FAMILIES_WITHOUT_GOLDEN, hasVersion4, ODD_FAMILIES } from './configs.ts';
import {
  DOUBLES_FIXTURES,
  ENCODER_DECODERS,
  ENCODERS,
  FIXTURES,
  fixturePath,
  MORE_FORMATS,
  SPARSE_ENCODER_DECODERS,
  SWEPT,
} from './fixture-list.ts';

interface Shown {
  readonly fixture: string;
  readonly family: string;
  /** How its matrices are stored. */
  readonly weights: string;
}

function shown(fixture: string): Shown {
  const text = readFileSync(`${fixturePath(fixture)}/config.json`, 'utf8');
  const { family, quantization } = readModelConfig(text);
  const method = (quantization as { quant_method?: string } | null)?.quant_method;
  return { fixture, family: family.id, weights: method ?? 'bf16' };
}

const FIXED = [...FIXTURES, ...MORE_FORMATS, ...ENCODER_DECODERS, ...ENCODERS].map(shown);
const OF_DOUBLES = DOUBLES_FIXTURES.map(shown);
/** Whose layers `test/model/adapter` merges LoRA into. */
const ADAPTED = ['mixtral'];
const named = (name: string): { readonly name: string; readonly family: string } => ({
  name,
  family: readModelConfig(JSON.stringify(configOf(name))).family.id,
});
const OTHERS = [
  ...FAMILIES_WITHOUT_GOLDEN.map(named),
  ...ODD_FAMILIES.map(named).filter((o) => !FIXED.some((f) => f.family === o.family)),
];

const unique = (values: readonly string[]): string => [...new Set(values)].join(', ');

function row({ id, modelTypes }: (typeof FAMILIES)[number]): string {
  const fixtures = FIXED.filter((f) => f.family === id);
  const others = OTHERS.filter((o) => o.family === id);
  const golden = fixtures.map((f) => `\`${f.fixture}\``).join(', ');
  const held = OF_DOUBLES.filter((f) => f.family === id).map((f) => `\`${f.fixture}\``);
  const doubles = others.length
    ? `doubles: ${others.map((o) => o.name).join(', ')}${held.length ? `, held by ${held.join(', ')}` : ''}`
    : '';
  const forms = others.every((o) => hasVersion4(o.name)) ? 'v4, v5' : 'v5';
  const streamed = fixtures.some((f) => [...SWEPT, ...SPARSE_ENCODER_DECODERS, ...ENCODERS].includes(f.fixture))
    ? 'yes'
    : '';
  const weights = unique([...fixtures.map((f) => f.weights), ...(others.length ? ['f32'] : [])]);
  const cells = [
    id,
    modelTypes.map((t) => `\`${t}\``).join(', '),
    [golden, doubles].filter(Boolean).join('; '),
    forms,
    weights,
    streamed,
    ADAPTED.includes(id) ? 'yes' : '',
  ];
  return `| ${cells.join(' | ')} |`;
}

const TEXT = `# Models

What runs, and what shows it. A model is recognised by \`model_type\` in its config.json, also where \`auto_map\` points to code beside it: that code is never run. This page is written
by \`node scripts/models-table.mjs\` from what the tests list.

- **Held to**: tiny checkpoints with values from \`transformers\` or of the published modelling code (\`vitest --project gpu test/model/fixtures\`), or, where no such values exist, random weights and the forward pass in doubles
  (\`vitest --project gpu test/model/families test/model/odd-sizes\`), whose parts the fixtures hold to golden values (\`vitest --project unit test/unit/reference/model\`).
- **Config**: as transformers 4 writes config.json, and as 5 does.
- **Weights**: forms of the checkpoints in this row. Any family's bf16, f16, f32, F8 and compressed-tensors matrices take the same path: \`vitest --project gpu test/model/formats\`.
- **Streamed**: with as few as K + 1 experts on the GPU, bit for bit the same (\`vitest --project gpu test/model/store-sizes test/model/encoder\`). Every other family's experts go through the same store.
- **Adapter**: LoRA merged into attention and experts while they load (\`vitest --project gpu test/model/adapter\`); matrices of every family take the same path: [formats.md](formats.md).

| family | model types | held to | config | weights | streamed | adapter |
| --- | --- | --- | --- | --- | --- | --- |
ROWS

[The catalogue](../test/fixtures/catalogue) has the configs of widely used checkpoints of these families: their parameters, total and active, are the published ones (\`vitest --project unit test/unit/config/catalogue\`).

A model that also sees or hears is run by its \`text_config\` where a family here reads it (Qwen3.5 and 3.6, Gemma 4, Llama 4): its tensors are called \`model.language_model.*\` or \`language_model.model.*\`, and those of other media are left alone (\`vitest --project unit test/unit/config/text-config\`).

Nemotron-H's blocks are one part each. A layer here is a token mixer and the feed-forward behind it, where there is one, so the 52 blocks of Nemotron 3 Nano are 29 layers, 23 of them with experts: that is what layer numbers in traces count. A feed-forward without a mixer of its own in
front is refused; no published pattern has one. Steps of the scan keep to \`time_step_limit\`; \`transformers\` clamps them to \`time_step_min\` instead while it reads a prompt.

Yuan 2.0-M32 turns by angles that are rounded to bf16, positions too, as its published code has them in any type. Its layers keep, beside keys and values, what they need of the token before: a conversation that is edited is computed from the start.

Skywork-MoE runs as in its vendor's own vLLM: logits of experts are divided by their standard deviation where the config says so, and what experts read is not multiplied. A gate of two maps (\`moe_2layer_gate\`), and the factor of 2 that comes with it, are what public code makes of the same keys; no release is known to have them.
The files of the release could not be read: should its tensors be called otherwise, loading says which one is missing.

OpenMoE's files say \`llama\` for their \`model_type\`: \`architectures\`, \`OpenMoeForCausalLM\`, tells them apart. An expert is four matrices: the model called 8B has 11.9 B parameters, the 23 GB in bf16 that its page says. Two things differ from its published PyTorch code,
whose results for a token depend on how the text around it was cut:

- No token is dropped. There each of E experts takes, of a prompt of n tokens in one call, the first \`router_topk * router_capacity_factor_eval * n / E\` (made even, at least \`router_min_capacity\`) that choose it, all first choices before all second ones: what becomes of a token depends on those behind it. Up to that many, as in the fixture, both give the same.
- A token that is written turns by its own position, as in a prompt. There a single token's query turns by one position more.

ZAYA1's router has a class more than there are experts: the last, to skip them. It counts as an expert that has no weights, in traces and interventions too, and is never fetched; its weight is the router's probability, and what it gives is 0. A replay knows traces alone, and takes it for one to fetch. Layers keep, beside keys and values, projections of the
last two tokens, and a router adds to its state that of the layer before, which is why none predicts the next.

Switch Transformer, NLLB-MoE and M2M-100 (NLLB-200 in its dense sizes) are an encoder and a decoder: [encoder-decoder.md](encoder-decoder.md).

nomic-embed-text-v2-moe and privacy-filter are encoders alone, which give vectors of texts and label their tokens: [encoders.md](encoders.md).

Where the rotation depends on length, the context that a model is loaded with decides, once for all positions:

- longrope (Phi-3.5-MoE): a \`contextLength\` of up to \`original_max_position_embeddings\`, the default's 4,096 there, has the short factors, and every conversation is as in transformers. A longer one has the long factors for short conversations, too, as in vLLM;
  transformers goes by the length that a sequence has, and keeps the keys that it turned before. \`plan.longRope\` and \`webmoe inspect\` say which hold (\`vitest --project gpu test/model/longrope test/cli/commands\`).
- NTK by length (\`dynamic\` without \`alpha\`) is plain up to \`max_position_embeddings\`, and no context is longer.

A model of another family is refused with the nearest known family and the keys that this one does not know; \`webmoe inspect\` prints a family file to start from.
`;

/** Markdown, not formatted yet. */
export const modelsPage = (): string => TEXT.replace('ROWS', FAMILIES.map(row).join('\n'));
