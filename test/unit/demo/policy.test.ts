/** Each page says the same policy as the server that sends it. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { headerPolicy, metaPolicy } from '../../../scripts/csp.mjs';

const PAGES = ['demo/index.html', 'demo/visualiser/index.html'];
const policyOf = (path: string): string | undefined =>
  /http-equiv="Content-Security-Policy"\s+content="([^"]*)"/.exec(readFileSync(path, 'utf8'))?.[1];

describe('the policy of the page', () => {
  it('stands in the page, for servers that send none', () => {
    for (const page of PAGES) expect(policyOf(page)).toBe(metaPolicy);
    expect(headerPolicy.replace(" frame-ancestors 'none';", '')).toBe(metaPolicy);
  });

  it.each(['fake', 'stream', 'records'])('is that of the test page %s too', (name) => {
    expect(policyOf(`test/browser/pages/${name}.html`)).toBe(metaPolicy);
  });

  it('allows nothing inline, nothing evaluated, and no image or script from elsewhere', () => {
    expect(headerPolicy).toMatch(/^default-src 'none'; script-src 'self'; /);
    expect(headerPolicy).not.toContain('unsafe');
    expect(/img-src ([^;]*)/.exec(headerPolicy)?.[1]).toBe("'self' data: blob:");
  });

  it.each(PAGES)('is not needed by the text of %s: no inline script, style or handler', (page) => {
    expect(readFileSync(page, 'utf8')).not.toMatch(/<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=/i);
  });
});
