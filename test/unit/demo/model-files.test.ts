import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseRange } from '../../../scripts/model-files.mjs';
import { serve, type Served } from '../../../scripts/serve.mjs';

describe('a Range header', () => {
  it.each([
    ['bytes=0-0', { begin: 0, end: 1 }],
    ['bytes=2-5', { begin: 2, end: 6 }],
    ['bytes=2-', { begin: 2, end: 10 }],
    ['bytes=2-99', { begin: 2, end: 10 }],
    ['bytes=-3', { begin: 7, end: 10 }],
    ['bytes=-99', { begin: 0, end: 10 }],
    ['bytes=10-', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=5-2', null],
    ['bytes=-', null],
    ['bytes=0-1,3-4', null],
    ['lines=0-1', null],
    [undefined, null],
  ])('%s', (header, range) => expect(parseRange(header, 10)).toEqual(range));
});

describe('the server', () => {
  const folder = mkdtempSync(join(tmpdir(), 'webmoe-serve-'));
  let served: Served;

  beforeAll(async () => {
    mkdirSync(join(folder, 'dist'));
    mkdirSync(join(folder, 'models/m'), { recursive: true });
    mkdirSync(join(folder, 'models-secret'));
    writeFileSync(join(folder, 'dist/index.html'), '<p>page</p>');
    writeFileSync(join(folder, 'models/m/model.safetensors'), '0123456789');
    writeFileSync(join(folder, 'models/m/empty.txt'), '');
    writeFileSync(join(folder, 'models/.hidden'), 'x');
    writeFileSync(join(folder, 'models-secret/x'), 'x');
    served = await serve({ dist: join(folder, 'dist'), models: join(folder, 'models'), host: '127.0.0.1', port: 0 });
  });
  afterAll(async () => {
    await served.close();
    rmSync(folder, { recursive: true });
  });

  interface Answer {
    status: number;
    headers: Record<string, string | string[] | undefined>;
    body: string;
  }
  // Not fetch: it would tidy `..` out of the path.
  const ask = (path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> =>
    new Promise((resolve, reject) => {
      request({ host: '127.0.0.1', port: served.port, path, headers, method }, (response) => {
        let body = '';
        response.on('data', (piece) => (body += String(piece)));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
      })
        .on('error', reject)
        .end();
    });
  const FILE = '/models/m/model.safetensors';

  it('serves the page', async () => {
    const answer = await ask('/');
    expect(answer.body).toBe('<p>page</p>');
    expect(answer.headers).toMatchObject({
      'content-type': 'text/html;charset=utf-8',
      'x-content-type-options': 'nosniff',
    });
  });

  it('serves whole files and ranges', async () => {
    expect(await ask(FILE)).toMatchObject({ status: 200, body: '0123456789' });
    const part = await ask(FILE, { range: 'bytes=0-0' });
    expect(part).toMatchObject({ status: 206, body: '0' });
    expect(part.headers).toMatchObject({ 'content-range': 'bytes 0-0/10', 'content-length': '1' });
    expect(await ask(FILE, { range: 'bytes=3-6' })).toMatchObject({ status: 206, body: '3456' });
    const beyond = await ask(FILE, { range: 'bytes=10-' });
    expect(beyond.status).toBe(416);
    expect(beyond.headers['content-range']).toBe('bytes */10');
    expect(await ask('/models/m/empty.txt')).toMatchObject({ status: 200, body: '' });
  });

  it('answers HEAD without a body, and what has not changed with 304', async () => {
    const head = await ask(FILE, {}, 'HEAD');
    expect(head).toMatchObject({ status: 200, body: '' });
    expect(head.headers['content-length']).toBe('10');
    const etag = String(head.headers.etag);
    expect((await ask(FILE, { 'if-none-match': etag })).status).toBe(304);
    expect((await ask(FILE, { 'if-range': etag, range: 'bytes=1-1' })).body).toBe('1');
    expect((await ask(FILE, { 'if-range': '"old"', range: 'bytes=1-1' })).body).toBe('0123456789');
  });

  it.each([
    '/models/m/none',
    '/models/m',
    '/models/.hidden',
    '/models/../models-secret/x',
    '/models/%2e%2e/models-secret/x',
    '/models/..%2fmodels-secret/x',
    '/models/%zz',
    '/../models-secret/x',
    '/none',
  ])('404 for %s', async (path) => expect((await ask(path)).status).toBe(404));

  it('405 for other methods', async () => {
    expect((await ask(FILE, {}, 'POST')).status).toBe(405);
  });

  it('says so when the port is taken', async () => {
    await expect(serve({ host: '127.0.0.1', port: served.port })).rejects.toThrow(/taken by another program: set PORT/);
  });

  it('as a program: prints its address, and leaves with 0 on a signal', async () => {
    const child = spawn(process.execPath, ['scripts/serve.mjs'], { env: { ...process.env, PORT: '0' } });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    expect(String(line)).toMatch(/^webmoe is at http:\/\/localhost:\d+\/\n$/);
    child.kill('SIGTERM');
    expect((await once(child, 'exit'))[0]).toBe(0);
  });
});
