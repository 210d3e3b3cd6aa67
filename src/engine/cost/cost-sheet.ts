/** What a token and a prompt cost, from a plan alone: the programs are recorded on paper, by the same code that records them for a GPU. */
import type { ModelConfig } from '../../config/model-config.ts';
import type { KernelChoice } from '../../gpu/device.ts';
import { paperGpu } from '../../gpu/paper.ts';
import type { Program } from '../../gpu/recording.ts';
import type { ExpertTraffic } from '../../kernels/cost.ts';
import { Forward } from '../forward.ts';
import type { Batch } from '../forward/batch.ts';
import { allocateHomes } from '../open-store.ts';
import type { OpenedModel, PlannedModel } from '../open.ts';
import { Uploader } from '../upload.ts';
import { programCost, type DispatchCost } from './program-cost.ts';
import { evenTraffic } from './traffic.ts';

export interface CostSheet {
  /** The token at `position`: layers, head and draw. */
  token(position: number): DispatchCost[];
  /**
   * A prompt of `tokens` from an empty cache, in the plan's chunks, and the draw of the first token.
   * @param traffic where the tokens of a chunk go, by MoE layer; default: by even chance
   */
  prompt(tokens: number, traffic?: PromptTraffic): DispatchCost[];
}

/** @param layer counted among MoE layers */
export type PromptTraffic = (
  chunk: { readonly position: number; readonly tokens: number },
  layer: number,
) => ExpertTraffic;

/** Where one step's tokens go, by layer of the model. */
function trafficBy(
  { layers }: ModelConfig,
  tokens: number,
  counted?: (layer: number) => ExpertTraffic,
): (layer: number) => ExpertTraffic | null {
  let moe = 0;
  const found = layers.map(({ ffn }) => {
    if (ffn.kind !== 'moe') return null;
    return counted ? counted(moe++) : evenTraffic(tokens, ffn);
  });
  return (layer) => found[layer] ?? null;
}

interface Programs {
  readonly bodies: Readonly<Record<Exclude<Batch, 'few'>, Program>>;
  readonly after: readonly Program[];
}

/** @param kernels whose cost is asked for: those for GPUs, or those for software adapters */
export async function costSheet(
  { config }: OpenedModel,
  planned: PlannedModel,
  kernels: KernelChoice,
): Promise<CostSheet> {
  const programs = await recordOnPaper(config, planned, kernels);
  const run = (program: Program, position: number, tokens: number, traffic?: PromptTraffic): DispatchCost[] =>
    programCost(
      program.launches({ tokens, position }),
      trafficBy(config, tokens, traffic && ((layer) => traffic({ position, tokens }, layer))),
    );
  const after = (position: number, tokens: number): DispatchCost[] =>
    programs.after.flatMap((program) => run(program, position, tokens));
  const { prefillChunk } = planned.plan;
  const token = (position: number): DispatchCost[] => [...run(programs.bodies.one, position, 1), ...after(position, 1)];
  return {
    token,
    prompt: (tokens, traffic) => {
      if (config.encoder) return [...run(programs.bodies.chunk, 0, tokens, traffic), ...token(0)];
      const costs: DispatchCost[] = [];
      for (let at = 0; at < tokens; at += prefillChunk) {
        const length = Math.min(prefillChunk, tokens - at);
        costs.push(...run(length === 1 ? programs.bodies.one : programs.bodies.chunk, at, length, traffic));
        if (at + length === tokens) costs.push(...after(at, length));
      }
      return costs;
    },
  };
}

async function recordOnPaper(config: ModelConfig, planned: PlannedModel, kernels: KernelChoice): Promise<Programs> {
  const gpu = await paperGpu(kernels);
  const { homes, plan } = await allocateHomes(gpu, config, planned);
  const isThere = { restore: () => Promise.resolve(true) };
  const uploader = new Uploader(gpu, () => undefined, undefined, isThere);
  const weights = await uploader.model(planned.spec, plan, homes, () => Promise.resolve());
  const forward = await Forward.create(gpu, config, plan, weights, homes);
  const [one, chunk, head, sampling] = await Promise.all([
    forward.body('one'),
    forward.body('chunk'),
    forward.lastLogits(),
    forward.draws.one(false),
  ]);
  return { bodies: { one: one.program, chunk: chunk.program }, after: [head, sampling] };
}
