/** wllama: llama.cpp in WebAssembly, with ggml's WebGPU backend where the adapter has shader-f16, on the CPU elsewhere. */
import { countHere, countInTextWorkers } from './count-gpu.ts';
import { offer } from './engine.ts';

/** The parts of the package that are used here; it is served from where it is installed. */
interface Wllama {
  loadModel(files: Blob[], options: object): Promise<void>;
  createCompletion(options: object): Promise<AsyncIterable<unknown>>;
}
interface Package {
  readonly Wllama: new (paths: object, options?: object) => Wllama;
}

/** It takes texts only: common words, of which each is one token. */
const WORDS =
  'the quick brown fox jumps over a lazy dog while seven old bears sleep in warm caves near cold lakes'.split(' ');

const PACKAGE = '/peers/@wllama/wllama/esm/';

let wllama: Wllama;

offer({
  async load({ contextLength }) {
    countHere();
    countInTextWorkers();
    const { Wllama } = (await import(/* @vite-ignore */ `${PACKAGE}index.js`)) as Package;
    wllama = new Wllama({ default: `${PACKAGE}wasm/wllama.wasm` }, { suppressNativeLog: true });
    const file = await (await fetch('/gguf-model/model.gguf')).blob();
    await wllama.loadModel([file], { n_ctx: contextLength, n_gpu_layers: 999, n_batch: 512 });
  },
  async generate(prompt, tokens, onToken) {
    const options = { max_tokens: tokens, temperature: 0, stream: true, cache_prompt: false, ignore_eos: true };
    const text = prompt.map((id) => WORDS[id % WORDS.length]).join(' ');
    for await (const part of await wllama.createCompletion({ prompt: text, ...options })) {
      void part;
      await onToken();
    }
  },
});
