/** Links that name a trace and a view of it, and the files behind them. */
import { describe, expect, it } from 'vitest';
import {
  fetchTrace,
  foreignSite,
  fromTraceLink,
  LinkError,
  toTraceLink,
  type SharedView,
} from '../../../demo/visualiser/share.ts';

const PAGE = 'https://example.org/webmoe/visualiser/?a=1#x';

describe('links to traces', () => {
  it.each<SharedView>([
    { source: { kind: 'bundled', id: 'smolmoe' }, view: {} },
    { source: { kind: 'bundled', id: 'qwen' }, view: { layer: '12', sort: 'load & more', __proto__x: '<b>é' } },
    { source: { kind: 'url', url: 'https://other.example/a b.npz?x=1&y=2#f' }, view: { token: '7' } },
    { source: { kind: 'url', url: 'https://example.org/webmoe/visualiser/mine.npz' }, view: {} },
  ])('come back: %j', (shared) => {
    const back = fromTraceLink(toTraceLink(shared, PAGE), PAGE)!;
    expect(back.view).toEqual(shared.view);
    const { source } = shared;
    expect(back.source).toEqual(source.kind === 'url' ? { kind: 'url', url: new URL(source.url).href } : source);
  });

  it('an address may be relative to the page, also to one without https', () => {
    const at = (url: string, page: string): unknown =>
      fromTraceLink(`#routing=1&url=${encodeURIComponent(url)}`, page)!.source;
    expect(at('traces/x.npz', PAGE)).toEqual({
      kind: 'url',
      url: 'https://example.org/webmoe/visualiser/traces/x.npz',
    });
    expect(at('x.npz', 'http://127.0.0.1:8080/v/')).toEqual({ kind: 'url', url: 'http://127.0.0.1:8080/v/x.npz' });
  });

  it.each(['', '#', '#ask=abc', '#data=qwen'])('%j is no such link', (fragment) => {
    expect(fromTraceLink(fragment, PAGE)).toBeNull();
  });

  it.each<[string, RegExp]>([
    ['#routing=2&data=qwen', /newer/],
    ['#routing=1', /must name one trace/],
    ['#routing=1&data=a&url=https://b.example/', /must name one trace/],
    ['#routing=1&url=http://other.example/x.npz', /https/],
    ['#routing=1&url=javascript:alert(1)', /https/],
    ['#routing=1&url=data:,x', /https/],
    ['#routing=1&url=https://%5B', /no address/],
    ['#routing=1&url=https://me:secret@other.example/', /password/],
    [`#routing=1&data=${'x'.repeat(5000)}`, /longer/],
    [`#routing=1&data=x${Array.from({ length: 50 }, (_, n) => `&v.${n}=1`).join('')}`, /too much/],
  ])('refuses %s', (fragment, message) => {
    expect(() => fromTraceLink(fragment, PAGE)).toThrow(LinkError);
    expect(() => fromTraceLink(fragment, PAGE)).toThrow(message);
  });

  it('holds no password, and is not too long', () => {
    const to = (url: string) => () => toTraceLink({ source: { kind: 'url', url }, view: {} }, PAGE);
    expect(to('https://me:secret@other.example/x.npz')).toThrow(LinkError);
    expect(to(`https://other.example/${'x'.repeat(5000)}`)).toThrow(LinkError);
  });

  it('names the site that people are asked about', () => {
    expect(foreignSite('https://other.example/x.npz', PAGE)).toBe('https://other.example');
    expect(foreignSite('mine.npz', PAGE)).toBeNull();
  });
});

describe('the file behind a link', () => {
  const answers =
    (make: () => Response): typeof fetch =>
    (_url, init) => {
      expect(init).toMatchObject({ credentials: 'omit', referrerPolicy: 'no-referrer' });
      return Promise.resolve(make());
    };

  it('comes whole', async () => {
    const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i);
    expect(await fetchTrace('https://x.example/a', { fetch: answers(() => new Response(bytes)) })).toEqual(bytes);
  });
  it('that is not there, or must not be read, is a LinkError', async () => {
    const gone = answers(() => new Response(null, { status: 404 }));
    await expect(fetchTrace('https://x.example/a', { fetch: gone })).rejects.toThrow(/answers 404/);
    const blocked = (): Promise<Response> => Promise.reject(new TypeError('Failed to fetch'));
    await expect(fetchTrace('https://x.example/a', { fetch: blocked })).rejects.toThrow(LinkError);
  });
  it('that never ends is cut off', async () => {
    let isCancelled = false;
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(2 ** 24)),
      cancel: () => void (isCancelled = true),
    });
    await expect(fetchTrace('https://x.example/a', { fetch: answers(() => new Response(endless)) })).rejects.toThrow(
      /larger/,
    );
    expect(isCancelled).toBe(true);
  });
  it('an abort is the caller’s own reason', async () => {
    const stop = AbortSignal.abort('enough');
    const aborted = (): Promise<Response> => Promise.reject(new DOMException('x', 'AbortError'));
    await expect(fetchTrace('https://x.example/a', { fetch: aborted, signal: stop })).rejects.toBe('enough');
  });
});
