/** What comes with the visualiser: it opens, says where it comes from, and stays small. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BUNDLED, bundledById, type BundledTrace } from '../../../demo/visualiser/data/index.ts';
import { ABSENT } from '../../../src/trace/trace.ts';
import { DATA } from '../../support/traces.ts';

/** As a page's server answers. */
const served: typeof fetch = (url) => Promise.resolve(new Response(readFileSync(new URL(url as URL))));
const DOMAINS = ['code', 'facts', 'general', 'instructions', 'languages', 'maths', 'poems', 'stories'];

describe('bundled data', () => {
  it.each(BUNDLED.map((entry) => [entry.id, entry] as const))('%s opens', async (id, entry) => {
    const data = await entry.load({ fetch: served });
    expect(data.provenance).toBe(entry.provenance);
    expect(entry.provenance.note).toMatch(entry.provenance.kind === 'published' ? /Apache-2\.0/ : /webmoe/);
    expect(bundledById(id)).toBe(entry);
  });

  it('stays below 2 MB, and names every file', () => {
    const files = readdirSync(DATA).filter((file) => file.endsWith('.npz'));
    expect(BUNDLED.map(({ url }) => url.pathname.split('/').at(-1)).sort()).toEqual(files.sort());
    expect(files.reduce((sum, file) => sum + statSync(join(DATA, file)).size, 0)).toBeLessThan(2e6);
    const readme = readFileSync(join(DATA, 'README.md'), 'utf8');
    for (const file of files) expect(readme).toContain(file);
  });

  it('a file that is not there is an error, and none is fetched before somebody asks', async () => {
    const missing: typeof fetch = () => Promise.resolve(new Response(null, { status: 404 }));
    await expect(BUNDLED[0]!.load({ fetch: missing })).rejects.toThrow(/answers 404/);
  });
});

describe('the shipped model’s trace', async () => {
  const trace = await (bundledById('smolmoe') as BundledTrace).load({ fetch: served });
  const { model, steps, tokens, texts, logits, weights, ids } = trace;

  it('has 20 chats in eight domains', () => {
    expect(trace.chats).toHaveLength(20);
    expect([...new Set(trace.chats!.map((c) => c.domain))].sort()).toEqual(DOMAINS);
  });

  it('its texts join to chats that begin with the prompt, and a token without a text is an unknown one', () => {
    let from = 0;
    for (const [n, chat] of trace.chats!.entries()) {
      const [prompt, ...answer] = steps.filter((s) => s.chat === n);
      expect(texts!.slice(from, from + prompt!.tokens).join('')).toContain(chat.name);
      expect(tokens!.subarray(from, from + prompt!.tokens).every((id) => id >= 0)).toBe(true);
      from += prompt!.tokens;
      const isKnown = tokens![from]! >= 0;
      expect(texts!.slice(from, from + answer.length).join('') !== '').toBe(isKnown);
      expect(tokens!.subarray(from, from + answer.length).every((id) => id >= 0 === isKnown)).toBe(true);
      from += answer.length;
    }
    expect(tokens!.some((id, t) => id >= 0 && trace.logprobs![t]! < 0)).toBe(true);
  });

  it('its logits are what chose: the best K of them, and the weights are their sigmoids', () => {
    expect(trace.scoring).toBe('sigmoid');
    const rows = Array.from({ length: ids.length / model.topK }, (_, row) => row);
    const known = rows.filter((row) => !Number.isNaN(logits![row * model.experts]));
    expect(known.length).toBeGreaterThan(50 * model.layers);
    let wrong = 0;
    for (const row of known)
      for (let k = 0; k < model.topK; k++) {
        const id = ids[row * model.topK + k]!;
        if (id === ABSENT) continue;
        const share = 1 / (1 + Math.exp(-logits![row * model.experts + id]!));
        if (Math.abs(share - weights![row * model.topK + k]!) > 2e-3) wrong++;
      }
    expect(wrong).toBe(0);
  });
});
