/** Reads back the routing that a step left in its log. */
import { subview } from '../../gpu/buffer.ts';
import type { Gpu } from '../../gpu/gpu.ts';
import { routedBytes } from '../../kernels/moe/route.ts';
import type { RoutingLog } from '../forward/routing-log.ts';
import { chunkRoutingAt, type LayerRouting } from '../routing.ts';

/** [T, K] a layer, of the step of `tokens` that ran last. */
export async function readRouting(gpu: Gpu, { view, slices }: RoutingLog, tokens: number): Promise<LayerRouting[]> {
  if (slices.length === 0) return [];
  const sizes = slices.map(({ topK, predicted, logits }) => routedBytes(tokens, topK, predicted, logits));
  const views = slices.map(({ offset }, m) => subview(view, offset, sizes[m]!));
  const bytes = await gpu.readAll(views.filter(({ size }) => size > 0));
  let at = 0;
  return slices.map((slice, m) => {
    const routing = chunkRoutingAt(bytes, at, tokens, slice);
    at += sizes[m]!;
    return routing;
  });
}
