/** What several requests at once take beside a single one: pages of keys and values, and a place for each request that runs. Sizes, from the config alone. */
import { isConvolved, isFiltered, isRecurrent } from '../../config/mixers.ts';
import type { AttentionConfig, ModelConfig } from '../../config/model-config.ts';
import { InvalidRequest, OutOfBudget, UnsupportedModel } from '../../errors.ts';
import { BINDING_ALIGNMENT, bufferBytes } from '../../gpu/buffer.ts';
import { PAGE_TOKENS, pagesFor, ROW_WORDS } from '../../kernels/attention/pages.ts';
import { tokenSetWords } from '../../kernels/sample/sample.ts';
import { MOST_SAMPLED_BYTES } from '../../kernels/sample/top_logprobs.ts';
import { alignUp, sum } from '../../util/math.ts';
import { attentionSizes, moeLayers } from '../activations.ts';

export interface RequestsOptions {
  /** Requests that run at once, 1 to 64; more wait in order. Default 8. */
  readonly inFlight?: number | undefined;
  /** GPU memory for keys and values of all of them; at least a whole context. Default: two contexts. */
  readonly kvBytes?: number | undefined;
}

export const MOST_IN_FLIGHT = 64;
const DEFAULT_IN_FLIGHT = 8;
const DEFAULT_CONTEXTS = 2;

/** Of one request's draw in the buffer of all: the token drawn with what goes with it, and where the sampler leaves the id for a next step. */
export const NEXT_ID_AT = alignUp(MOST_SAMPLED_BYTES, BINDING_ALIGNMENT);
export const DRAWN_STRIDE = NEXT_ID_AT + BINDING_ALIGNMENT;
/** A uniform begins on a multiple of as much. */
export const STEP_STRIDE = BINDING_ALIGNMENT;

export interface RequestsPlan {
  readonly inFlight: number;
  readonly pages: number;
  /** Of the longest request. */
  readonly pagesEach: number;
  readonly bytes: {
    readonly kv: number;
    readonly activations: number;
    readonly tables: number;
    readonly readback: number;
  };
}

export interface RequestsInput {
  readonly contextLength: number;
  readonly prefillChunk: number;
  readonly bindingBytes: number;
}

/** Bytes of one page in each layer; no values where latents are both. @throws UnsupportedModel where a layer keeps something else than keys and values */
export function pageBytes(config: ModelConfig): { readonly keys: number; readonly values: number }[] {
  return config.layers.map(({ mixer: mixer }, layer) => {
    if (isRecurrent(mixer) || isFiltered(mixer) || isConvolved(mixer))
      throw new UnsupportedModel(
        `Several requests at once need attention in every layer, and layer ${layer} mixes tokens by ${isFiltered(mixer) ? 'attention with a filter' : isConvolved(mixer) ? 'convolved attention' : mixer.kind}: load without requests, and they are answered one by one`,
        { layer, mixer: mixer.kind },
      );
    const { kvHeads, keySize, valueSize } = attentionSizes(mixer satisfies AttentionConfig);
    const heads = 4 * kvHeads * PAGE_TOKENS;
    return { keys: heads * keySize, values: mixer.kind === 'latent' ? 0 : heads * valueSize };
  });
}

/** Values from one request's row of V to the next. */
export const vocabStride = (vocab: number): number => alignUp(4 * vocab, BINDING_ALIGNMENT) / 4;
/** Words from one request's set of tokens to the next. */
export const tokenSetStride = (vocab: number): number => alignUp(4 * tokenSetWords(vocab), BINDING_ALIGNMENT) / 4;
/** Words of the longest step's rows, and of every request's list of pages behind them. */
export const rowsWords = (
  chunk: number,
  { inFlight, pagesEach }: Pick<RequestsPlan, 'inFlight' | 'pagesEach'>,
): number => alignUp(ROW_WORDS * chunk + inFlight * pagesEach, 4);
/** Bytes of the routing of as many tokens, in all MoE layers. */
export const routingBytes = (config: ModelConfig, tokens: number): number =>
  sum(moeLayers(config).map(({ topK }) => 8 * topK * tokens));

/**
 * @throws InvalidRequest for impossible wishes; UnsupportedModel for layers with a recurrent state; OutOfBudget when some part cannot be bound on this
 *   device
 */
export function planRequests(config: ModelConfig, options: RequestsOptions, input: RequestsInput): RequestsPlan {
  const { contextLength, prefillChunk, bindingBytes } = input;
  const inFlight = options.inFlight ?? DEFAULT_IN_FLIGHT;
  if (!Number.isInteger(inFlight) || inFlight < 1 || inFlight > MOST_IN_FLIGHT)
    throw new InvalidRequest(`requests.inFlight must be a whole number from 1 to ${MOST_IN_FLIGHT}, got ${inFlight}`, {
      inFlight,
    });
  const layers = pageBytes(config);
  const perPage = sum(layers.map(({ keys, values }) => keys + values));
  const pagesEach = pagesFor(contextLength);
  const kvBytes = options.kvBytes ?? DEFAULT_CONTEXTS * pagesEach * perPage;
  const pages = Math.floor(kvBytes / perPage);
  if (!(pages >= pagesEach))
    throw new InvalidRequest(
      `requests.kvBytes must hold a whole context of ${contextLength} tokens, ${pagesEach * perPage} bytes, got ${kvBytes}: raise it, or shorten contextLength`,
      { kvBytes, contextLength, leastBytes: pagesEach * perPage },
    );
  const row = vocabStride(config.vocab);
  const largest = Math.max(4 * inFlight * row, ...layers.map(({ keys, values }) => pages * Math.max(keys, values)));
  if (largest > bindingBytes)
    throw new OutOfBudget(
      `Several requests at once would need ${largest} bytes in one buffer, more than this GPU binds (${bindingBytes}): lower requests.kvBytes or requests.inFlight`,
      { bytes: largest, bindingBytes },
    );
  const plan = { inFlight, pages, pagesEach };
  const logits = 2 * 4 * inFlight * row; // as the head leaves them, and as the sampler takes them
  const counts = 4 * inFlight * row;
  return {
    ...plan,
    bytes: {
      kv: pages * perPage,
      activations: logits + inFlight * DRAWN_STRIDE,
      tables:
        4 * rowsWords(prefillChunk, plan) +
        2 * counts + // of tokens, and biases
        4 * inFlight * tokenSetStride(config.vocab) +
        (1 + inFlight) * STEP_STRIDE,
      readback: bufferBytes(inFlight * MOST_SAMPLED_BYTES + routingBytes(config, inFlight)),
    },
  };
}
