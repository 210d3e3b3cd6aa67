/** What a request may change in the choice of experts, checked, in words, and as the routers read it. */
import type { MoeFfn } from '../config/model-config.ts';
import { InvalidRequest } from '../errors.ts';
import { interventionBytes, interventionWords, type LayerIntervention } from '../kernels/moe/intervention.ts';
import { sum } from '../util/math.ts';

/** Layers are counted among MoE layers, as in `token.routing`. An expert has one rule at most: masked, forced, or a bias. */
export interface Interventions {
  /** These experts are never chosen. */
  readonly mask?: readonly (readonly [layer: number, expert: number])[];
  /** These experts are always among the chosen, in place of the lowest. */
  readonly force?: readonly (readonly [layer: number, expert: number])[];
  /** Experts a token, 1 to the model's K: for all MoE layers, or one number for each. */
  readonly topK?: number | readonly number[];
  /** Added to an expert's selection key; its weight stays what the router gives. */
  readonly routerBias?: readonly (readonly [layer: number, expert: number, bias: number])[];
}

export interface ResolvedInterventions {
  /** Equal for those that change the same. */
  readonly key: string;
  /** In words, one entry a kind. */
  readonly labels: readonly string[];
  /** Of all MoE layers; null: nothing is changed. */
  readonly words: Uint32Array<ArrayBuffer> | null;
}

export const NO_INTERVENTIONS: ResolvedInterventions = { key: '', labels: [], words: null };

type Layer = Pick<MoeFfn, 'experts' | 'topK'>;

function refuse(message: string, details: Record<string, unknown>): never {
  throw new InvalidRequest(message, { option: 'interventions', ...details });
}

const isIndex = (n: unknown, count: number): boolean =>
  Number.isInteger(n) && (n as number) >= 0 && (n as number) < count;

/** Experts a token, by layer. */
function usesOf(topK: Interventions['topK'], layers: readonly Layer[]): number[] {
  const asked = typeof topK === 'number' || topK === undefined ? layers.map((l) => topK ?? l.topK) : [...topK];
  if (asked.length !== layers.length)
    refuse(`interventions.topK has ${asked.length} numbers, the model ${layers.length} MoE layers`, {});
  asked.forEach((uses, layer) => {
    if (!isIndex(uses - 1, layers[layer]!.topK))
      refuse(`interventions.topK must be a whole number from 1 to ${layers[layer]!.topK}, got ${uses}`, {
        layer,
        uses,
      });
  });
  return asked;
}

/** Sets the rule of each expert that is named. */
function addRules(
  kind: 'mask' | 'force' | 'routerBias',
  named: readonly (readonly number[])[],
  rules: readonly Float64Array[],
): void {
  for (const [layer, expert, bias] of named) {
    const ofLayer = isIndex(layer, rules.length) ? rules[layer!]! : undefined;
    if (!ofLayer || !isIndex(expert, ofLayer.length))
      refuse(
        `interventions.${kind} names expert ${expert} of MoE layer ${layer}; there are ${rules.length} MoE layers of ${rules[0]?.length ?? 0} experts`,
        { kind, layer, expert },
      );
    if (kind === 'routerBias' && !Number.isFinite(Math.fround(bias!)))
      refuse(`interventions.routerBias of expert ${expert} must be a finite number, got ${bias}`, { layer, expert });
    const rule = kind === 'mask' ? -Infinity : kind === 'force' ? Infinity : Math.fround(bias!);
    if (ofLayer[expert!] !== 0 && ofLayer[expert!] !== rule)
      refuse(`interventions say two things of expert ${expert} of MoE layer ${layer}: give it one`, { layer, expert });
    ofLayer[expert!] = rule;
  }
}

function checkLayer(rules: Float64Array, uses: number, layer: number): void {
  const forced = rules.filter((rule) => rule === Infinity).length;
  const left = rules.filter((rule) => rule !== -Infinity).length;
  if (forced > uses)
    refuse(`interventions force ${forced} experts of MoE layer ${layer}, of which a token uses ${uses}: force fewer`, {
      layer,
      forced,
      uses,
    });
  if (left < uses)
    refuse(
      `interventions leave ${left} experts of MoE layer ${layer}, of which a token uses ${uses}: mask fewer, or lower topK`,
      {
        layer,
        left,
        uses,
      },
    );
}

const list = (pairs: readonly (readonly number[])[]): string =>
  pairs
    .map(([layer, expert, bias]) => `${layer}:${expert}${bias === undefined ? '' : ` ${bias < 0 ? '' : '+'}${bias}`}`)
    .join(', ');

function labelsOf(
  { mask = [], force = [], routerBias = [] }: Interventions,
  uses: number[],
  layers: readonly Layer[],
): string[] {
  const fewer = uses.flatMap((n, layer) =>
    n < layers[layer]!.topK ? [`${layer}: ${n} of ${layers[layer]!.topK}`] : [],
  );
  const isSame = new Set(uses).size === 1 && new Set(layers.map((l) => l.topK)).size === 1;
  const biased = routerBias.filter(([, , bias]) => bias !== 0);
  return [
    ...(mask.length ? [`experts masked (layer:expert): ${list(mask)}`] : []),
    ...(force.length ? [`experts forced: ${list(force)}`] : []),
    ...(fewer.length
      ? [`experts a token ${isSame ? `${uses[0]} of ${layers[0]!.topK}` : `by layer, ${fewer.join(', ')}`}`]
      : []),
    ...(biased.length ? [`router biased: ${list(biased)}`] : []),
  ];
}

/**
 * @param layers of the model, MoE layers only
 * @throws InvalidRequest for layers or experts that do not exist, two rules for one expert, more forced than used, or fewer left than used
 */
export function resolveInterventions(
  options: Interventions | undefined,
  layers: readonly Layer[],
): ResolvedInterventions {
  if (!options) return NO_INTERVENTIONS;
  const { mask = [], force = [], topK, routerBias = [] } = options;
  const uses = usesOf(topK, layers);
  const rules = layers.map((l) => new Float64Array(l.experts));
  addRules('mask', mask, rules);
  addRules('force', force, rules);
  addRules('routerBias', routerBias, rules);
  rules.forEach((ofLayer, layer) => checkLayer(ofLayer, uses[layer]!, layer));
  const labels = labelsOf(options, uses, layers);
  if (labels.length === 0) return NO_INTERVENTIONS;
  const words = new Uint32Array(sum(layers.map((l) => interventionBytes(l.experts))) / 4);
  let at = 0;
  layers.forEach(({ experts, topK: most }, layer) => {
    const isChanged = uses[layer]! < most || rules[layer]!.some((rule) => rule !== 0);
    const intervention: LayerIntervention = { uses: uses[layer]!, rules: rules[layer]! };
    words.set(interventionWords(experts, isChanged ? intervention : null), at);
    at += interventionBytes(experts) / 4;
  });
  return { key: words.join(), labels, words };
}
