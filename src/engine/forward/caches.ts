/** What layers keep of the tokens before: keys and values, or a recurrent state; and the angles that turn keys by their position. */
import { ropeIn } from '../../config/longrope.ts';
import { isRecurrent } from '../../config/mixers.ts';
import { bucketTable } from '../../layers/distance.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import type { BufferView } from '../../gpu/buffer.ts';
import type { Gpu } from '../../gpu/gpu.ts';
import type { KvCache } from '../../layers/attention.ts';
import type { RecurrentState } from '../../layers/mixer_step.ts';
import { ropeTable } from '../../layers/rope.ts';
import { sinusoidRows } from '../../layers/sinusoids.ts';
import { cacheBytes, distanceKey, hasOwnCache } from '../activations.ts';
import type { Plan } from '../plan.ts';

export type MakeBuffer = (label: string, role: Parameters<Gpu['createBuffer']>[1], bytes: number) => BufferView;

/** By layer: keys and values, or a recurrent state. */
export function layerCaches(config: ModelConfig, plan: Plan, buffer: MakeBuffer): (KvCache | RecurrentState)[] {
  const own = config.layers.map((_, i) => (hasOwnCache(config, i) ? layerCache(config, plan, buffer, i) : null));
  return own.map((cache) => cache ?? own[0]!);
}

function layerCache(
  { hidden, layers }: ModelConfig,
  { contextLength: capacity, kv: format }: Plan,
  buffer: MakeBuffer,
  i: number,
): KvCache | RecurrentState {
  const bytes = cacheBytes(layers[i]!.mixer, { hidden, context: capacity, kv: format });
  if ('keys' in bytes) {
    const [keys, values] = [buffer(`keys ${i}`, 'kv', bytes.keys), buffer(`values ${i}`, 'kv', bytes.values)];
    if ('past' in bytes) return { keys, values, capacity, format, past: buffer(`past ${i}`, 'kv', bytes.past) };
    if (!('inputs' in bytes)) return { keys, values, capacity, format };
    const [inputs, inner] = [buffer(`filter ${i}`, 'kv', bytes.inputs), buffer(`filter inner ${i}`, 'kv', bytes.inner)];
    return { keys, values, capacity, format, filter: { inputs, inner } };
  }
  if ('latents' in bytes) {
    const latents = buffer(`latents ${i}`, 'kv', bytes.latents);
    return { keys: latents, values: latents, capacity, format };
  }
  const convolution = buffer(`convolution ${i}`, 'kv', bytes.convolution);
  return { convolution, scan: buffer(`scan ${i}`, 'kv', bytes.scan) };
}

/** By layer, the buckets of distances where attention has a bias for them; layers with the same share them. */
export function bucketTables(gpu: Gpu, config: ModelConfig, buffer: MakeBuffer): (BufferView | null)[] {
  const tables = new Map<string, BufferView>();
  return config.layers.map(({ mixer }) => {
    if (mixer.kind !== 'grouped' || !mixer.distanceBias) return null;
    const key = distanceKey(mixer);
    let view = tables.get(key);
    if (!view) {
      const table = bucketTable(mixer.distanceBias, mixer.sees);
      view = buffer('buckets', 'tables', table.byteLength);
      gpu.write(view, table);
      tables.set(key, view);
    }
    return view;
  });
}

/** What is added to the embedding at each position; null where the config has none. */
export function sinusoidTable(gpu: Gpu, config: ModelConfig, capacity: number, buffer: MakeBuffer): BufferView | null {
  if (!config.sinusoids) return null;
  const table = sinusoidRows(config.sinusoids, { rows: capacity, size: config.hidden });
  const view = buffer('sinusoids', 'tables', table.byteLength);
  gpu.write(view, table);
  return view;
}

/** By layer, a table that layers with the same angles share; null where the token mixer is no attention. */
export function ropeTables(gpu: Gpu, config: ModelConfig, capacity: number, buffer: MakeBuffer): (BufferView | null)[] {
  const tables = new Map<string, BufferView>();
  return config.layers.map(({ mixer }) => {
    if (isRecurrent(mixer)) return null;
    const { rope } = mixer;
    const key = JSON.stringify(rope);
    let view = tables.get(key);
    if (!view) {
      const table = ropeTable(ropeIn(rope, capacity), capacity);
      view = buffer('rope', 'tables', table.byteLength);
      gpu.write(view, table);
      tables.set(key, view);
    }
    return view;
  });
}
