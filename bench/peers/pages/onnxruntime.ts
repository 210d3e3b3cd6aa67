/** onnxruntime-web's WebGPU provider, driven as transformers.js drives it: keys and values stay on the GPU, the likeliest id is found on the CPU. */
import { countHere } from './count-gpu.ts';
import { offer } from './engine.ts';

/** The parts of the package that are used here; it is served from where it is installed. */
interface Tensor {
  readonly dims: readonly number[];
  getData(): Promise<Float32Array>;
  dispose(): void;
}
interface Ort {
  readonly env: { readonly wasm: { wasmPaths: string; numThreads: number } };
  readonly Tensor: new (type: string, data: Float32Array | BigInt64Array, dims: readonly number[]) => Tensor;
  readonly InferenceSession: { create(url: string, options: object): Promise<Session> };
}
interface Session {
  readonly inputNames: readonly string[];
  run(feed: Record<string, Tensor>): Promise<Record<string, Tensor>>;
}
interface Decoder {
  readonly num_hidden_layers: number;
  readonly num_key_value_heads: number;
  readonly head_size: number;
}

const PACKAGE = '/peers/onnxruntime-web/dist/';
const MODEL = '/onnx-model/';

let ort: Ort;
let session: Session;
let decoder: Decoder;

const caches = (): string[] =>
  Array.from({ length: decoder.num_hidden_layers }, (_, i) => [`${i}.key`, `${i}.value`]).flat();

const integers = (values: readonly number[]): Tensor =>
  new ort.Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);

function feedOf(ids: readonly number[], total: number, past: Record<string, Tensor>): Record<string, Tensor> {
  const feed = { input_ids: integers(ids), attention_mask: integers(new Array<number>(total).fill(1)), ...past };
  if (!session.inputNames.includes('position_ids')) return feed;
  return { ...feed, position_ids: integers(ids.map((_, i) => total - ids.length + i)) };
}

async function likeliest(logits: Tensor): Promise<number> {
  const all = await logits.getData();
  const last = all.subarray(all.length - logits.dims.at(-1)!);
  let best = 0;
  for (let id = 1; id < last.length; id++) if (last[id]! > last[best]!) best = id;
  logits.dispose();
  return best;
}

offer({
  async load() {
    countHere();
    ort = (await import(/* @vite-ignore */ `${PACKAGE}ort.webgpu.min.mjs`)) as Ort;
    ort.env.wasm.wasmPaths = PACKAGE;
    ort.env.wasm.numThreads = 1;
    const config = (await (await fetch(`${MODEL}genai_config.json`)).json()) as { model: { decoder: Decoder } };
    decoder = config.model.decoder;
    session = await ort.InferenceSession.create(`${MODEL}model.onnx`, {
      executionProviders: ['webgpu'],
      graphOptimizationLevel: 'all',
      externalData: [{ path: 'model.onnx.data', data: `${MODEL}model.onnx.data` }],
      preferredOutputLocation: Object.fromEntries(caches().map((name) => [`present.${name}`, 'gpu-buffer'])),
    });
  },
  async generate(prompt, tokens, onToken) {
    const { num_key_value_heads: heads, head_size: size } = decoder;
    const empty = (): Tensor => new ort.Tensor('float32', new Float32Array(0), [1, heads, 0, size]);
    const past = Object.fromEntries(caches().map((name) => [`past_key_values.${name}`, empty()]));
    let ids = prompt;
    let total = 0;
    for (let n = 0; n < tokens; n++) {
      total += ids.length;
      const out = await session.run(feedOf(ids, total, past));
      ids = [await likeliest(out.logits!)];
      for (const name of caches()) {
        past[`past_key_values.${name}`]!.dispose();
        past[`past_key_values.${name}`] = out[`present.${name}`]!;
      }
      await onToken();
    }
    for (const cache of Object.values(past)) cache.dispose();
  },
});
