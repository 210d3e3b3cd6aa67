/** Server-sent events, written in every way that the standard allows and cut anywhere, read as they were meant. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { eventData } from '../../../src/remote/event-stream.ts';

async function read(bytes: Uint8Array, cuts: readonly number[] = []): Promise<string[]> {
  const at = [0, ...[...cuts].map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  const pieces = at.slice(1).map((end, i) => bytes.subarray(at[i]!, end));
  const found: string[] = [];
  for await (const data of eventData(piecesOf(pieces))) found.push(data);
  return found;
}

async function* piecesOf(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) {
    await Promise.resolve();
    yield piece;
  }
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

const lineEnd = fc.constantFrom('\n', '\r\n', '\r');
/** No line ends: those are what separates lines of data. */
const line = fc.string({ unit: 'grapheme' }).map((text) => text.replace(/[\r\n\ufeff]/g, '.'));
const noise = fc.constantFrom('', ': a comment', ':', 'event: x', 'id: 1', 'retry: 5', 'datax: 1', 'nonsense');
const event = fc.record({
  lines: fc.array(line, { minLength: 1, maxLength: 3 }),
  noise,
  blanks: fc.integer({ min: 1, max: 3 }),
});

it('any events, with any line ends, comments and cuts', async () => {
  const property = fc.asyncProperty(
    fc.array(event),
    lineEnd,
    fc.boolean(),
    fc.array(fc.nat(), { maxLength: 12 }),
    async (events, end, hasMark, cuts) => {
      const written = events
        .map(({ lines, noise, blanks }) => [
          ...(noise ? [noise] : []),
          ...lines.map((text) => `data: ${text}`),
          ...Array.from({ length: blanks }, () => ''),
        ])
        .flat()
        .map((text) => text + end)
        .join('');
      const bytes = bytesOf((hasMark ? '\ufeff' : '') + written);
      expect(await read(bytes, cuts)).toEqual(events.map(({ lines }) => lines.join('\n')));
    },
  );
  await fc.assert(property, { numRuns: 300 });
});

it.each([
  ['no blank after the colon', 'data:x\n\n', ['x']],
  ['two blanks: one is data', 'data:  x\n\n', [' x']],
  ['no colon: an empty line of data', 'data\n\n', ['']],
  ['CR and LF in different pieces', 'data: a\r\ndata: b\r\n\r\n', ['a\nb']],
  ['no blank line at the end', 'data: a\n\ndata: [DONE]', ['a', '[DONE]']],
  ['nothing', '', []],
  ['comments alone', ': wait\n\n: wait\n\n', []],
])('%s', async (_, text, data) => {
  const bytes = bytesOf(text);
  expect(await read(bytes)).toEqual(data);
  expect(
    await read(
      bytes,
      Array.from(bytes, (_, i) => i),
    ),
  ).toEqual(data);
});
