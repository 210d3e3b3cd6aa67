import { describe, expect, it } from 'vitest';
import { detectEnvironment } from '../../../demo/environment.ts';
import { supportProblem } from '../../../demo/support-page.ts';

const WEBKIT = 'AppleWebKit/537.36 (KHTML, like Gecko)';
const AGENTS = {
  chromeLinux: `Mozilla/5.0 (X11; Linux x86_64) ${WEBKIT} Chrome/140.0.0.0 Safari/537.36`,
  chromeWindows: `Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${WEBKIT} Chrome/140.0.0.0 Safari/537.36`,
  oldChrome: `Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${WEBKIT} Chrome/109.0.0.0 Safari/537.36`,
  edge: `Mozilla/5.0 (Windows NT 10.0; Win64; x64) ${WEBKIT} Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0`,
  android: `Mozilla/5.0 (Linux; Android 10; K) ${WEBKIT} Chrome/119.0.0.0 Mobile Safari/537.36`,
  firefoxWindows: 'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0',
  firefoxLinux: 'Mozilla/5.0 (X11; Linux x86_64; rv:147.0) Gecko/20100101 Firefox/147.0',
  safari:
    'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15',
  iphone:
    'Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1',
  chromeIos:
    'Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/124.0.0.0 Mobile/15E148 Safari/604.1',
} as const;

describe('which browser and system', () => {
  it.each([
    ['chromeLinux', 'Chrome', 140, 'Linux'],
    ['edge', 'Edge', 140, 'Windows'],
    ['android', 'Chrome', 119, 'Android'],
    ['firefoxWindows', 'Firefox', 128, 'Windows'],
    ['safari', 'Safari', 17, 'macOS'],
    ['iphone', 'Safari', 17, 'iOS'],
    ['chromeIos', 'Chrome', 124, 'iOS'],
  ] as const)('%s', (agent, browser, version, system) => {
    expect(detectEnvironment(AGENTS[agent])).toEqual({ browser, version, system });
  });

  it('knows an iPad that says it is a Mac', () => {
    expect(detectEnvironment(AGENTS.safari, 5).system).toBe('iOS');
  });

  it('says so when it does not know', () => {
    expect(detectEnvironment('curl/8')).toEqual({ browser: 'other', version: 0, system: 'other' });
  });
});

describe('advice', () => {
  const adviceFor = (agent: keyof typeof AGENTS, reason: 'no-webgpu' | 'no-adapter'): string => {
    const problem = supportProblem(reason, 'message', detectEnvironment(AGENTS[agent]), 'http://localhost/');
    return [problem.title, problem.summary, ...problem.steps].join('\n');
  };

  it.each([
    ['oldChrome', /Update Chrome: you have version 109, WebGPU came with version 113/],
    ['chromeWindows', /chrome:\/\/flags\/#enable-unsafe-webgpu/],
    ['edge', /edge:\/\/flags\/#enable-unsafe-webgpu/],
    ['chromeLinux', /Update Chrome: you have version 140, WebGPU came with version 144/],
    ['android', /version 121/],
    ['firefoxWindows', /Update Firefox: you have version 128, WebGPU came with version 141/],
    ['firefoxLinux', /Firefox on Linux does not have WebGPU/],
    ['safari', /Safari has had WebGPU since version 26/],
    ['iphone', /iOS or iPadOS 26/],
    ['chromeIos', /another browser does not help/],
  ] as const)('no WebGPU: %s', (agent, pattern) => {
    expect(adviceFor(agent, 'no-webgpu')).toMatch(pattern);
  });

  it('no adapter: names the setting of each browser', () => {
    expect(adviceFor('edge', 'no-adapter')).toContain('edge://settings/system');
    expect(adviceFor('firefoxWindows', 'no-adapter')).toContain('hardware acceleration');
    expect(adviceFor('safari', 'no-adapter')).not.toContain('://settings');
  });

  it('insecure page: gives the secure address', () => {
    const env = detectEnvironment(AGENTS.chromeLinux);
    const { steps } = supportProblem('insecure-context', 'message', env, 'http://box.lan:4173/?a=1');
    expect(steps.join('\n')).toContain('https://box.lan:4173/?a=1');
  });
});
