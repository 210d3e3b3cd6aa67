/** Going on with an unfinished answer, through `generate`. */
import { expect, it } from 'vitest';
import type { GenerateOptions } from '../../src/engine/generation.ts';
import { loadOn } from '../../src/engine/load.ts';
import type { Prompt } from '../../src/engine/text.ts';
import { openModelGpu } from '../support/gpu.ts';
import { withLetters } from '../support/letters.ts';
import { filesOf, text } from '../support/models.ts';
import { memorySource } from '../support/weights.ts';

const gpu = await openModelGpu();

/** A turn ends with p, an answer begins after o. */
const TEMPLATE = '{% for m in messages %}{{ m.content }}p{% endfor %}{% if add_generation_prompt %}o{% endif %}';
const files = {
  ...withLetters(filesOf('test/fixtures/families/mixtral')),
  'chat_template.jinja': text(TEMPLATE),
};
const CHAT = [
  { role: 'user', content: 'abcd' },
  { role: 'assistant', content: 'efg' },
];

it('goes on from the last letter, as if it had never ended', async () => {
  const model = await loadOn(gpu.share(), memorySource(files), { contextLength: 128, prefillChunk: 16 });
  const ids = async (prompt: Prompt, options: GenerateOptions = {}): Promise<number[]> => {
    const out: number[] = [];
    for await (const { id } of model.generate(prompt, { temperature: 0, ignoreEnd: true, maxTokens: 6, ...options }))
      out.push(id);
    return out;
  };
  const goneOn = await ids(CHAT, { continueFinal: true });
  expect(goneOn).toEqual(await ids('abcdpoefg'));
  expect(goneOn).not.toEqual(await ids(CHAT));
  expect(await ids('abcdpefgpo')).toEqual(await ids(CHAT));
  expect(model.samplingDefaults.topP).toBe(1);
  await model.dispose();
});
