// What every consumer does: loads a model over HTTP, generates, and writes what it got on the page.
import { load } from 'webmoe';

export async function start() {
  const asked = new URL(location.href).searchParams;
  try {
    const model = await load(new URL(asked.get('model'), location.href), { contextLength: 64 });
    const prompt = { ids: asked.get('prompt').split(',').map(Number) };
    const ids = [];
    for await (const token of model.generate(prompt, { temperature: 0, maxTokens: 8, ignoreEnd: true }))
      ids.push(token.id);
    document.body.dataset.runsIn = model.runsIn;
    document.body.dataset.result = ids.join();
    await model.dispose();
  } catch (error) {
    document.body.dataset.failure = `${error.name}: ${error.message}`;
  }
}
