/**
 * Routing in the shape of vLLM's responses (`--enable-return-routed-experts`): nested lists [tokens, layers, K] that `numpy.array(..., dtype=numpy.int16)`
 * takes as they are, -1 where there is no expert. vLLM has no weights; here they lie beside the ids.
 */
import { InvalidTrace } from '../errors.ts';
import { decodeNpy, type NpyArray } from './npy.ts';
import type { RecordedRun, TracedRun } from './of-run.ts';
import { NO_EXPERT, type RoutedTokens } from './run-routing.ts';

type Nested = readonly (readonly (readonly number[])[])[];

export interface VllmResponse {
  readonly model: string;
  readonly prompt_token_ids: readonly number[] | null;
  readonly prompt_routed_experts: Nested | null; // [prompt tokens, layers, K]
  readonly prompt_router_weights?: Nested | null;
  readonly choices: readonly {
    readonly index: number;
    /** Those whose routing follows: all but the last token of the answer, which nothing ran. */
    readonly token_ids: readonly number[] | null;
    readonly routed_experts: Nested; // [tokens, layers, K]
    readonly router_weights?: Nested | null;
  }[];
}

function nested(values: ArrayLike<number>, [tokens, layers, topK]: RoutedTokens['shape']): Nested {
  return Array.from({ length: tokens }, (_t, t) =>
    Array.from({ length: layers }, (_l, l) =>
      Array.from({ length: topK }, (_k, k) => values[(t * layers + l) * topK + k]!),
    ),
  );
}

/** @throws InvalidTrace when the run was recorded at a level below `ids` */
export function toVllm({ routing }: Pick<TracedRun, 'routing'>, model: string): VllmResponse {
  if (!routing?.generation) throw new InvalidTrace('only a run at the level ids or logits has routed experts', {});
  const { prompt, generation } = routing;
  return {
    model,
    prompt_token_ids: prompt && [...prompt.token_ids],
    prompt_routed_experts: prompt && nested(prompt.routed_experts, prompt.shape),
    prompt_router_weights: prompt && nested(prompt.router_weights, prompt.shape),
    choices: [
      {
        index: 0,
        token_ids: [...generation.token_ids],
        routed_experts: nested(generation.routed_experts, generation.shape),
        router_weights: nested(generation.router_weights, generation.shape),
      },
    ],
  };
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Ids are 16-bit numbers with a sign here, as in vLLM. */
const MOST_EXPERTS = 2 ** 15;

interface Flat {
  readonly shape: RoutedTokens['shape'];
  readonly values: Float64Array;
}

/** A rectangular [tokens, layers, K]: nested lists, an array of NumPy, or one as text in base64, as vLLM sends it since 0.22. */
function flat(value: unknown, name: string): Flat {
  if (typeof value === 'string') return ofNpy(decodeNpy(fromBase64(value, name), name), name);
  if (isNpy(value)) return ofNpy(value, name);
  const refuse = (): never => {
    throw new InvalidTrace(`${name} must be numbers in lists of one size: [tokens, layers, K]`, { name });
  };
  const list = (of: unknown): readonly unknown[] => (Array.isArray(of) ? of : refuse());
  const tokens = list(value).map((token) => list(token).map(list));
  const shape = [tokens.length, tokens[0]?.length ?? 0, tokens[0]?.[0]?.length ?? 0] as const;
  if (tokens.some((t) => t.length !== shape[1] || t.some((layer) => layer.length !== shape[2]))) refuse();
  const values = tokens.flat(2);
  return values.every((v) => typeof v === 'number') ? { shape, values: Float64Array.from(values) } : refuse();
}

const isNpy = (value: unknown): value is NpyArray => isRecord(value) && ArrayBuffer.isView(value.data);

function ofNpy({ shape, data }: NpyArray, name: string): Flat {
  const [tokens, layers, topK, ...more] = shape;
  if (topK === undefined || more.length > 0)
    throw new InvalidTrace(`${name} must have three axes [tokens, layers, K], has [${shape.join(', ')}]`, { name });
  return { shape: [tokens!, layers!, topK], values: Float64Array.from(data) };
}

function fromBase64(text: string, name: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  } catch (cause) {
    throw new InvalidTrace(`${name} is neither lists nor base64`, { name }, { cause });
  }
}

/** The first `count` tokens, and the rest. */
function splitAt({ shape: [tokens, layers, topK], values }: Flat, count: number): [Flat, Flat] {
  const at = count * layers * topK;
  return [
    { shape: [count, layers, topK], values: values.subarray(0, at) },
    { shape: [tokens - count, layers, topK], values: values.subarray(at) },
  ];
}

function readTokens(ids: Flat, weights: unknown, tokenIds: unknown, name: string, experts: number): RoutedTokens {
  const bad = ids.values.find((id) => !Number.isInteger(id) || id < NO_EXPERT || id >= experts || id >= MOST_EXPERTS);
  if (bad !== undefined) throw new InvalidTrace(`${name} names expert ${bad} of ${experts}`, { name, expert: bad });
  // Without weights all experts of a token count alike.
  const weight = weights == null ? null : flat(weights, `the weights of ${name}`);
  if (weight && weight.shape.join() !== ids.shape.join())
    throw new InvalidTrace(`${name} and its weights differ in shape`, { name });
  const tokens = tokenIds == null ? Array<number>(ids.shape[0]).fill(-1) : tokenIds;
  if (!Array.isArray(tokens) || tokens.length !== ids.shape[0] || !tokens.every(Number.isInteger))
    throw new InvalidTrace(`${name} has ${ids.shape[0]} tokens, and token ids that do not fit`, { name });
  const rows = Int16Array.from(ids.values);
  return {
    token_ids: Int32Array.from(tokens as number[]),
    shape: ids.shape,
    routed_experts: experts > 256 || rows.includes(NO_EXPERT) ? rows : Uint8Array.from(rows),
    router_weights: Float32Array.from(ids.values, (id, i) =>
      weight ? weight.values[i]! : id === NO_EXPERT ? 0 : 1 / ids.shape[2],
    ),
    router_logits: null,
  };
}

function countsOf({ shape: [, layers, topK], routed_experts: ids }: RoutedTokens, experts: number): Uint32Array {
  const counts = new Uint32Array(layers * experts);
  ids.forEach((id, i) => {
    if (id !== NO_EXPERT) counts[(Math.floor(i / topK) % layers) * experts + id]!++;
  });
  return counts;
}

/**
 * Prompt and answer. As text, `routed_experts` has the prompt's tokens first, and none for the last token of the answer; `usage` says where the
 * prompt ends.
 */
function partsOf(
  response: Readonly<Record<string, unknown>>,
  choice: Readonly<Record<string, unknown>>,
): { readonly asked: Flat | null; readonly answer: Flat; readonly answerIds: unknown } {
  const all = flat(choice.routed_experts, 'routed_experts');
  if (response.prompt_routed_experts != null)
    return {
      asked: flat(response.prompt_routed_experts, 'prompt_routed_experts'),
      answer: all,
      answerIds: choice.token_ids,
    };
  const prompt = isRecord(response.usage) ? response.usage.prompt_tokens : null;
  if (typeof choice.routed_experts !== 'string' || !Number.isInteger(prompt) || (prompt as number) > all.shape[0])
    return { asked: null, answer: all, answerIds: choice.token_ids };
  const [asked, answer] = splitAt(all, Math.max(0, prompt as number));
  const ids: unknown = choice.token_ids;
  return { asked, answer, answerIds: Array.isArray(ids) ? ids.slice(0, answer.shape[0]) : null };
}

/** Whether the weights that `fromVllm` gives are the router's. */
export const hasWeights = (response: unknown): boolean =>
  isRecord(response) && Array.isArray(response.choices) && isRecord(response.choices[0])
    ? response.choices[0].router_weights != null
    : false;

/**
 * A response of vLLM, or what `toVllm` made, as a run: `traceOf` makes a trace of it.
 * @param experts E; default: one more than the largest id
 * @throws InvalidTrace when its lists have no one size, or hold what is no expert
 */
export function fromVllm(response: unknown, experts?: number): RecordedRun {
  const choice: unknown = isRecord(response) && Array.isArray(response.choices) ? response.choices[0] : undefined;
  if (!isRecord(response) || !isRecord(choice) || choice.routed_experts == null)
    throw new InvalidTrace(
      'no response with choices[0].routed_experts: start vLLM with --enable-return-routed-experts',
      {},
    );
  const { asked, answer, answerIds } = partsOf(response, choice);
  const of =
    experts ?? 1 + Math.max(0, ...[answer, asked].map((x) => (x ? x.values.reduce((a, b) => Math.max(a, b), 0) : 0)));
  const generation = readTokens(answer, choice.router_weights, answerIds, 'routed_experts', of);
  const prompt =
    asked && readTokens(asked, response.prompt_router_weights, response.prompt_token_ids, 'prompt_routed_experts', of);
  const [, layers, topK] = prompt && prompt.shape[0] > 0 ? prompt.shape : generation.shape;
  if (prompt && generation.shape[0] > 0 && generation.shape.slice(1).join() !== prompt.shape.slice(1).join())
    throw new InvalidTrace('prompt_routed_experts and routed_experts are of different models', {});
  const row = layers * topK;
  const first = prompt ? prompt.routed_experts.findIndex((id: number) => id !== NO_EXPERT) : -1;
  return {
    routing: {
      level: 'ids',
      layers,
      experts: of,
      topK,
      counts: { prompt: prompt && countsOf(prompt, of), generation: countsOf(generation, of) },
      prompt,
      generation,
    },
    promptTokens: prompt ? prompt.shape[0] : 0,
    cachedTokens: prompt ? (first < 0 ? prompt.shape[0] : Math.floor(first / row)) : 0,
  };
}
