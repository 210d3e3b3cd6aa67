// The Vercel AI SDK on a model in this process: node main.js [model]
import { generateObject, generateText, streamText, tool } from 'ai';
import { webmoe } from 'webmoe/ai-sdk';
import { load } from 'webmoe/node';
import { z } from 'zod';

const loaded = await load(process.argv[2] ?? 'allenai/OLMoE-1B-7B-0924-Instruct');
const model = webmoe(loaded);

const story = streamText({ model, prompt: 'Write one sentence about the sea.', maxOutputTokens: 40 });
for await (const part of story.textStream) process.stdout.write(part);
console.log();

const { object } = await generateObject({
  model,
  schema: z.object({ city: z.enum(['Paris', 'Rome', 'Oslo']), population: z.number().int() }),
  prompt: 'Describe the capital of Norway.',
  maxOutputTokens: 80,
});
console.log(object);

const { toolCalls } = await generateText({
  model,
  prompt: 'How warm is it in Oslo?',
  tools: {
    weather: tool({ description: 'Looks up the weather', inputSchema: z.object({ city: z.string().max(20) }) }),
  },
  toolChoice: 'required',
  maxOutputTokens: 80,
});
console.log(toolCalls.map(({ toolName, input }) => ({ toolName, input })));

await loaded.dispose();
