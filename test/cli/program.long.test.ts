/** The program as people start it: from a shell, with a pipe, with Ctrl+C. It builds itself first. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { program } from '../support/cli.ts';
import { withLetters } from '../support/letters.ts';
import { filesOf } from '../support/models.ts';

const model = mkdtempSync(join(tmpdir(), 'webmoe-program-'));
for (const [name, bytes] of Object.entries(withLetters(filesOf('test/fixtures/families/olmoe'))))
  writeFileSync(join(model, name), bytes);
afterAll(() => rmSync(model, { recursive: true }));

const run = ['bin/webmoe.mjs', 'run', '--model', model, '--temperature', '0'];
const figures = (err: string): string[] => err.split('\n').filter((line) => line.startsWith('['));

it('npx finds it in a clone', async () => {
  const { code, out } = await program('npx', ['--no-install', 'webmoe', '--help']);
  expect(code).toBe(0);
  expect(out).toMatch(/^usage: webmoe COMMAND/);
});

it('answers every line of a pipe, remembers what was said, and ends with it', async () => {
  const { code, out, err } = await program('node', [...run, '--max-tokens', '3'], {
    input: 'abcdefgh\n\nbcd\n/new\nabcdefgh',
  });
  expect(code).toBe(0);
  const answers = out.trimEnd().split('\n');
  expect(answers.length).toBe(3);
  expect(answers[2]).toBe(answers[0]);
  for (const answer of answers) expect(answer).toMatch(/^[a-p]{3,6}$/);
  const turns = figures(err);
  expect(turns.length).toBe(3);
  expect(turns[1]).toMatch(/\d+ cached/);
  expect(err).not.toContain('> ');
});

it('has nothing to say to an empty pipe', async () => {
  expect(await program('node', run)).toMatchObject({ code: 0, out: '' });
});

it('stops at Ctrl+C, and says so', async () => {
  let sent = false;
  const { code, out, err } = await program('node', [...run, '--prompt', 'abcdefgh'], {
    onOutput: (kill) => {
      if (!sent) kill('SIGINT');
      sent = true;
    },
  });
  expect(code).toBe(0);
  expect(out).toMatch(/^[a-p]+\n$/);
  expect(figures(err).join()).toMatch(/tokens.*, abort, seed/);
});

it('serves until it is told to end', async () => {
  let said = '';
  const { code, out } = await program('node', ['bin/webmoe.mjs', 'serve', '--model', model, '--port', '0'], {
    onOutput: (kill) => {
      if (said) return;
      said = 'SIGTERM';
      kill('SIGTERM');
    },
  });
  expect(code).toBe(0);
  expect(out).toMatch(/^webmoe-program-\S+ answers at http:\/\/127\.0\.0\.1:\d+\/v1\n$/);
});

it('ends with 2 and one line for bad input', async () => {
  const { code, out, err } = await program('node', ['bin/webmoe.mjs', 'inspect', 'no-such-folder']);
  expect([code, out]).toEqual([2, '']);
  expect(err).toMatch(/^webmoe: .*no-such-folder.*\n$/);
});
