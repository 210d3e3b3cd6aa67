/** webmoe as an app uses it: the engine in a worker. */
import { load, type Model } from '../../../src/index.ts';
import { offer } from './engine.ts';

let model: Model;

offer({
  async load({ contextLength, weights }) {
    const worker = (): Worker => new Worker(new URL('./webmoe-worker.ts', import.meta.url), { type: 'module' });
    model = await load('/webmoe-model/', { contextLength, weights, storage: null, worker });
  },
  async generate(prompt, tokens, onToken) {
    const options = { temperature: 0, ignoreEnd: true, maxTokens: tokens, skipCache: true, routing: 'off' } as const;
    for await (const token of model.generate({ ids: [...prompt] }, options)) {
      void token;
      await onToken();
    }
  },
});
