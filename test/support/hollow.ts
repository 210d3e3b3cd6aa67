/** Checkpoints of full-sized models without their weights: headers are real, data bytes are never there (or zero, on disk). */
import { ftruncateSync, mkdtempSync, openSync, closeSync, writeSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readModelConfig } from '../../src/config/load.ts';
import type { ByteSource } from '../../src/weights/source.ts';
import { expectedTensors } from '../unit/families/expected.ts';

interface Shard {
  readonly name: string;
  readonly head: Uint8Array<ArrayBuffer>;
  readonly bytes: number;
}

/** As published: bf16, in shards of about 4 GB. */
function shardsOf(configText: string): { shards: Shard[]; index: string } {
  const { config, names } = readModelConfig(configText);
  const groups: { entries: Record<string, unknown>; at: number }[] = [{ entries: {}, at: 0 }];
  const weightMap: Record<string, string> = {};
  const fileName = (i: number): string => `model-${String(i + 1).padStart(5, '0')}.safetensors`;
  for (const [name, shape] of expectedTensors(config, names)) {
    const bytes = 2 * shape.reduce((a, b) => a * b, 1);
    if (groups.at(-1)!.at + bytes > 4e9) groups.push({ entries: {}, at: 0 });
    const group = groups.at(-1)!;
    group.entries[name] = { dtype: 'BF16', shape, data_offsets: [group.at, group.at + bytes] };
    group.at += bytes;
    weightMap[name] = fileName(groups.length - 1);
  }
  const shards = groups.map(({ entries, at }, i): Shard => {
    const text = JSON.stringify(entries);
    const json = new TextEncoder().encode(text.padEnd(8 * Math.ceil(text.length / 8)));
    const head = new Uint8Array(8 + json.length);
    new DataView(head.buffer).setBigUint64(0, BigInt(json.length), true);
    head.set(json, 8);
    return { name: fileName(i), head, bytes: head.length + at };
  });
  return { shards, index: JSON.stringify({ metadata: {}, weight_map: weightMap }) };
}

/** The reader fetches this much before it knows how long the header is, to save a request. */
export const FIRST_READ = 64 * 1024;

/** A source that has configs and headers, and fails when anybody asks for weights. */
export function hollowSource(config: object): ByteSource {
  const configText = JSON.stringify(config);
  const { shards, index } = shardsOf(configText);
  const files = new Map<string, { head: Uint8Array<ArrayBuffer>; bytes: number }>(shards.map((s) => [s.name, s]));
  for (const [name, content] of [
    ['config.json', configText],
    ['model.safetensors.index.json', index],
  ] as const) {
    const head = new TextEncoder().encode(content) as Uint8Array<ArrayBuffer>;
    files.set(name, { head, bytes: head.length });
  }
  return {
    label: 'hollow',
    size: (file) => Promise.resolve(files.get(file)?.bytes ?? null),
    async *stream(file, begin, end) {
      const { head } = files.get(file)!;
      await Promise.resolve();
      if (end > Math.max(head.length, FIRST_READ))
        throw new Error(`asked for weights: bytes ${begin} to ${end} of ${file}`);
      const piece = new Uint8Array(end - begin);
      piece.set(head.subarray(begin, end));
      yield piece;
    },
  };
}

/** The same on disk, every weight zero, in sparse files. The caller deletes the folder. */
export function hollowFolder(config: object): string {
  const configText = JSON.stringify(config);
  const { shards, index } = shardsOf(configText);
  const folder = mkdtempSync(join(tmpdir(), 'webmoe-hollow-'));
  writeFileSync(join(folder, 'config.json'), configText);
  writeFileSync(join(folder, 'model.safetensors.index.json'), index);
  for (const { name, head, bytes } of shards) {
    const file = openSync(join(folder, name), 'w');
    writeSync(file, head);
    ftruncateSync(file, bytes);
    closeSync(file);
  }
  return folder;
}
