/** Dense models named as Llama's are: Llama, Mistral, Qwen2 and Qwen3. A mixture with one expert, without a router. */
import { readActivation, readBase, readHeads, readLayerTypes, readWidth, readWindow } from '../config/axes.ts';
import type { GroupedAttention } from '../config/model-config.ts';
import type { ConfigReader } from '../config/read.ts';
import { readRope } from '../config/rope.ts';
import type { Family } from './family.ts';
import { llamaNames, separateExperts } from './llama-names.ts';
import { groupedAttention } from './parts.ts';

/** What the model types differ in. */
interface Kind {
  readonly bias: (c: ConfigReader) => GroupedAttention['bias'];
  readonly qkNorm: GroupedAttention['qkNorm'];
  readonly windows: (c: ConfigReader, layerCount: number) => readonly (number | null)[];
}

const all = (layerCount: number, window: number | null): (number | null)[] =>
  Array.from({ length: layerCount }, () => window);

/** Qwen: layers from `max_window_layers` on have a window, where one is switched on. */
function qwenWindows(c: ConfigReader, layerCount: number): readonly (number | null)[] {
  const on = c.boolean('use_sliding_window', false);
  const from = c.integer('max_window_layers', { min: 0, fallback: 28 });
  const types = readLayerTypes(c, layerCount, (i) => (on && i >= from ? 'sliding_attention' : 'full_attention'));
  const sliding = types.includes('sliding_attention');
  if (!sliding) c.irrelevant('sliding_window'); // published files carry one that is switched off
  const window = sliding ? readWindow(c) : null;
  return types.map((type) => (type === 'sliding_attention' ? window : null));
}

const biased = (c: ConfigReader): GroupedAttention['bias'] => {
  const bias = c.boolean('attention_bias', false);
  return { qkv: bias, o: bias };
};

const KINDS: Readonly<Record<string, Kind>> = {
  llama: { bias: biased, qkNorm: 'none', windows: (_, count) => all(count, null) },
  mistral: {
    bias: biased,
    qkNorm: 'none',
    windows: (c, count) => all(count, c.raw('sliding_window') === undefined ? null : readWindow(c)),
  },
  qwen2: { bias: () => ({ qkv: true, o: false }), qkNorm: 'none', windows: qwenWindows },
  qwen3: { bias: biased, qkNorm: 'per-head', windows: qwenWindows },
};

/** By `architectures`, for files without a model type. */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  LlamaForCausalLM: 'llama',
  MistralForCausalLM: 'mistral',
  Qwen2ForCausalLM: 'qwen2',
  Qwen3ForCausalLM: 'qwen3',
};

function kindOf(c: ConfigReader): Kind {
  const type = c.raw('model_type');
  const listed = c.raw('architectures');
  const architecture = Array.isArray(listed) ? String(listed[0]) : '';
  return KINDS[typeof type === 'string' ? type : ''] ?? KINDS[ARCHITECTURES[architecture] ?? 'llama']!;
}

export const llama: Family = {
  id: 'llama',
  modelTypes: Object.keys(KINDS),
  architectures: Object.keys(ARCHITECTURES),

  readConfig(c) {
    const { model, layerCount } = readBase(c, 'llama');
    const kind = kindOf(c);
    const heads = readHeads(c, model.hidden);
    c.only('mlp_bias', false);
    const ropes = readRope(c, { headSize: heads.headSize, maxContext: model.maxContext, theta: 10_000 });
    const bias = kind.bias(c);
    const ffn = { kind: 'dense', width: readWidth(c, 'intermediate_size'), activation: readActivation(c) } as const;
    const layers = kind.windows(c, layerCount).map((window) => {
      const { rope } = ropes(window === null ? 'full_attention' : 'sliding_attention');
      return { mixer: groupedAttention(heads, rope, { qkNorm: kind.qkNorm, bias, window }), ffn };
    });
    return { ...model, layers };
  },

  names: (config) => llamaNames(config, { block: 'mlp', router: 'gate', experts: separateExperts() }),
};
