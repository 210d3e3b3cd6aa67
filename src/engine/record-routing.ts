/** What a request wants to know of its routing, checked, and who writes it down. */
import type { ModelConfig } from '../config/model-config.ts';
import { InvalidRequest } from '../errors.ts';
import { RoutingRecorder } from '../trace/routing-recorder.ts';
import { ROUTING_LEVELS, type RoutingLevel } from '../trace/run-routing.ts';
import { moeLayers } from './activations.ts';
import type { GenerateOptions } from './generation.ts';

/** @throws InvalidRequest for a level that does not exist, or the prompt's routing at a level that has none */
export function recordRouting(
  config: ModelConfig,
  {
    routing: level = 'ids',
    promptRouting = false,
    onPromptRouting,
  }: Pick<GenerateOptions, 'routing' | 'promptRouting' | 'onPromptRouting'>,
): { readonly level: RoutingLevel; readonly recorder: RoutingRecorder } {
  if (!ROUTING_LEVELS.includes(level))
    throw new InvalidRequest(`routing must be one of ${ROUTING_LEVELS.join(', ')}, got ${String(level)}`, {
      option: 'routing',
    });
  if (promptRouting && level === 'off')
    throw new InvalidRequest('promptRouting needs a routing level: counts, ids or logits', { option: 'promptRouting' });
  if (onPromptRouting && (level === 'off' || level === 'counts'))
    throw new InvalidRequest('onPromptRouting needs the routing level ids or logits', { option: 'onPromptRouting' });
  const layers = moeLayers(config);
  const shape = {
    level,
    layers: layers.length,
    experts: Math.max(0, ...layers.map((l) => l.experts)),
    topK: Math.max(0, ...layers.map((l) => l.topK)),
  };
  return { level, recorder: new RoutingRecorder(shape, { prompt: promptRouting }) };
}
