/** `webmoe run` in this process: what it answers, and what it says beside the answer. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { withByteTokens } from '../support/byte-tokens.ts';
import { cli } from '../support/cli.ts';
import { withLetters } from '../support/letters.ts';
import { filesOf, fixturePath, type Files } from '../support/models.ts';

const folder = mkdtempSync(join(tmpdir(), 'webmoe-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);
const write = (name: string, files: Files): string => {
  const path = mkdtempSync(at(name));
  for (const [file, bytes] of Object.entries(files)) writeFileSync(join(path, file), bytes);
  return path;
};
const olmoe = fixturePath('families/olmoe');

describe('run', () => {
  const model = write('letters', withLetters(filesOf(olmoe)));
  const ask = [
    'run',
    '--model',
    model,
    '--prompt',
    'abcdefgh',
    '--temperature',
    '2',
    '--seed',
    '7',
    '--max-tokens',
    '4',
  ];

  it('answers, and says what it took', async () => {
    const { code, out, err } = await cli(ask);
    expect(code).toBe(0);
    expect(out).toMatch(/^[a-p]{4,8}\n$/);
    expect(err).toMatch(
      /^\[\d prompt tokens, first token after [\d.]+ s, 4 tokens, [\d.e+]+ tokens\/s, length, seed 7\]\n$/,
    );
    const progress = await cli(ask, true);
    expect(progress.out).toBe(out); // the same seed
    expect(progress.err).toMatch(
      /reading configs.*\[\.{24}\] 0 bytes of 528 kB.*compiling shaders.*\[4 prompt tokens/s,
    ); // the bar is gone when the answer comes
  });
});

describe('run with limits', () => {
  const model = write('bytes', withByteTokens(filesOf(olmoe)));
  const ask = ['run', '--model', model, '--prompt', 'x', '--temperature', '3', '--max-tokens', '30'];

  it('answers in JSON of a schema', async () => {
    writeFileSync(at('schema.json'), JSON.stringify({ type: 'array', items: { enum: ['a', 'b'] }, minItems: 2 }));
    const { code, out, err } = await cli([...ask, '--json-schema', at('schema.json')]);
    expect([code, err]).toEqual([0, expect.stringContaining(', stop, ')]);
    expect(JSON.parse(out)).toSatisfy((all: string[]) => all.length >= 2 && all.every((one) => /^[ab]$/.test(one)));
  });

  it('draws what a bias leaves', async () => {
    const { out } = await cli([...ask, '--logit-bias', '97:100, 98:100,99:-100']);
    expect(out).toMatch(/^[ab]{30}\n$/);
  });
});
