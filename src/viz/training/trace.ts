/** Who answers where, as a trace: a chat for each region, a token for each square of the plane. */
import { LiveTrace } from '../../trace/live.ts';
import type { Trace } from '../../trace/trace.ts';
import type { Looked } from './lesson.ts';
import type { Regions, Trainer, TrainingSettings } from '../training.ts';

/** Centre of a square, from -1 to 1; v grows upwards. */
export function placeOf(square: number, { side }: Regions): readonly [u: number, v: number] {
  const centre = (i: number): number => (2 * i + 1) / side - 1;
  return [centre(square % side), -centre(Math.floor(square / side))];
}

export function traceOfLook({ at, look }: Looked, trainer: Trainer, { seed }: TrainingSettings): Trace {
  const regions = trainer.regions(seed);
  const squares = regions.labels.length;
  const [topK, experts] = [look.experts.length / squares, look.logits.length / squares];
  const trace = new LiveTrace(
    { name: `layer after ${at} steps`, layers: 1, experts, topK, expertBytes: [trainer.expertBytes] },
    { scoring: 'softmax', provenance: { kind: 'recorded', note: `${trainer.name}, seed ${seed}` } },
  );
  for (let region = 0; region < regions.count; region++) {
    const within = Array.from(regions.labels.keys()).filter((i) => regions.labels[i] === region);
    const rows = (values: ArrayLike<number>, width: number): number[] =>
      within.flatMap((i) => Array.from({ length: width }, (_, k) => values[i * width + k]!));
    trace.begin({ name: `region ${region}`, domain: `region ${region}` });
    trace.prompt({
      position: 0,
      shape: [within.length, 1, topK],
      token_ids: Int32Array.from(within),
      routed_experts: Int16Array.from(rows(look.experts, topK)),
      router_weights: Float32Array.from(rows(look.weights, topK)),
      router_logits: Float32Array.from(rows(look.logits, experts)),
      texts: within.map(
        (i) =>
          `(${placeOf(i, regions)
            .map((x) => x.toFixed(2))
            .join(', ')}) `,
      ),
    });
  }
  return trace.snapshot();
}
