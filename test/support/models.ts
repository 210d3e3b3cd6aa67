/** The fixture models: on disk, loaded, and damaged on purpose. */
import { readdirSync, readFileSync } from 'node:fs';
import { loadOn, type LoadOptions } from '../../src/engine/load.ts';
import type { Model } from '../../src/engine/model.ts';
import type { Gpu } from '../../src/gpu/gpu.ts';
import { pathSource } from '../../src/weights/node-source.ts';
import type { ByteSource } from '../../src/weights/source.ts';

export { DENSE, FIXTURES, fixturePath, SWEPT } from './fixture-list.ts';

export const SHIPPED = 'models/smolmoe-135m-instruct';
export const SHIPPED_GOLDEN = 'test/golden/smolmoe-135m-instruct';

type Options = Omit<LoadOptions, 'gpu' | 'defaultLimits' | 'kernels'>;

/** Loads, uses, disposes. The model gets a ledger of its own on `gpu`'s device. */
export async function withModel<T>(
  gpu: Gpu,
  source: string | ByteSource,
  options: Options,
  use: (model: Model) => Promise<T>,
): Promise<T> {
  const bytes = typeof source === 'string' ? pathSource(source) : source;
  const model = await loadOn(gpu.share(), bytes, { contextLength: 128, prefillChunk: 128, ...options });
  try {
    return await use(model);
  } finally {
    await model.dispose();
  }
}

export type Files = Record<string, Uint8Array<ArrayBuffer>>;

/** A folder's files in memory. */
export function filesOf(folder: string): Files {
  return Object.fromEntries(
    readdirSync(folder).map((name) => [name, Uint8Array.from(readFileSync(`${folder}/${name}`))]),
  );
}

export const text = (value: unknown): Uint8Array<ArrayBuffer> =>
  new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value)) as Uint8Array<ArrayBuffer>;

/** `files` with changes to config.json's keys; undefined takes a key away. */
export function withConfig(files: Files, changes: Record<string, unknown>): Files {
  const config = JSON.parse(new TextDecoder().decode(files['config.json'])) as Record<string, unknown>;
  return { ...files, 'config.json': text({ ...config, ...changes }) };
}

interface Header {
  [name: string]: { dtype: string; shape: number[]; data_offsets: [number, number] };
}

/** `files` with one tensor's entry in the header of its file changed, renamed, or its bytes overwritten. */
export function withTensor(
  files: Files,
  tensor: string,
  change: { rename?: string; shape?: number[]; bytes?: (bytes: Uint8Array<ArrayBuffer>) => void },
): Files {
  for (const [name, file] of Object.entries(files)) {
    if (!name.endsWith('.safetensors') || name.startsWith('golden')) continue;
    const end = 8 + Number(new DataView(file.buffer).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(file.subarray(8, end))) as Header;
    const entry = header[tensor];
    if (!entry) continue;
    const data = file.slice(end);
    const [begin, stop] = entry.data_offsets;
    change.bytes?.(data.subarray(begin, stop));
    const entries = Object.entries(header).map(([key, value]) =>
      key === tensor ? [change.rename ?? key, { ...value, shape: change.shape ?? value.shape }] : [key, value],
    );
    const json = text(Object.fromEntries(entries));
    const out = new Uint8Array(8 + json.length + data.length);
    new DataView(out.buffer).setBigUint64(0, BigInt(json.length), true);
    out.set(json, 8);
    out.set(data, 8 + json.length);
    return { ...files, [name]: out };
  }
  throw new Error(`no tensor ${tensor}`);
}
