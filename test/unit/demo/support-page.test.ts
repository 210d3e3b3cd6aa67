import { describe, expect, it } from 'vitest';
import { detectEnvironment, type Hints } from '../../../demo/environment.ts';
import { supportProblem } from '../../../demo/support-page.ts';

const WEBKIT = 'AppleWebKit/537.36 (KHTML, like Gecko)';
const APPLE = 'AppleWebKit/605.1.15 (KHTML, like Gecko)';
const WINDOWS = 'Mozilla/5.0 (Windows NT 10.0; Win64; x64';
const MAC = 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7';
const IPHONE = 'Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X';
const AGENTS = {
  chromeLinux: `Mozilla/5.0 (X11; Linux x86_64) ${WEBKIT} Chrome/140.0.0.0 Safari/537.36`,
  newChromeLinux: `Mozilla/5.0 (X11; Linux x86_64) ${WEBKIT} Chrome/148.0.0.0 Safari/537.36`,
  chromeWindows: `${WINDOWS}) ${WEBKIT} Chrome/140.0.0.0 Safari/537.36`,
  oldChrome: `${WINDOWS}) ${WEBKIT} Chrome/109.0.0.0 Safari/537.36`,
  chromeMac: `${MAC}) ${WEBKIT} Chrome/140.0.0.0 Safari/537.36`,
  chromebook: `Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) ${WEBKIT} Chrome/110.0.0.0 Safari/537.36`,
  edge: `${WINDOWS}) ${WEBKIT} Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0`,
  oldOpera: `${WINDOWS}) ${WEBKIT} Chrome/108.0.0.0 Safari/537.36 OPR/94.0.0.0`,
  android: `Mozilla/5.0 (Linux; Android 10; K) ${WEBKIT} Chrome/119.0.0.0 Mobile Safari/537.36`,
  newAndroid: `Mozilla/5.0 (Linux; Android 10; K) ${WEBKIT} Chrome/140.0.0.0 Mobile Safari/537.36`,
  samsung: `Mozilla/5.0 (Linux; Android 10; K) ${WEBKIT} SamsungBrowser/23.0 Chrome/115.0.0.0 Mobile Safari/537.36`,
  firefoxWindows: `${WINDOWS}; rv:128.0) Gecko/20100101 Firefox/128.0`,
  newFirefoxWindows: `${WINDOWS}; rv:150.0) Gecko/20100101 Firefox/150.0`,
  firefoxMac: `${MAC}; rv:140.0) Gecko/20100101 Firefox/140.0`,
  newFirefoxMac: `${MAC}; rv:150.0) Gecko/20100101 Firefox/150.0`,
  firefoxLinux: 'Mozilla/5.0 (X11; Linux x86_64; rv:147.0) Gecko/20100101 Firefox/147.0',
  firefoxAndroid: 'Mozilla/5.0 (Android 14; Mobile; rv:147.0) Gecko/147.0 Firefox/147.0',
  safari: `${MAC}) ${APPLE} Version/17.4 Safari/605.1.15`,
  newSafari: `${MAC}) ${APPLE} Version/26.1 Safari/605.1.15`,
  iphone: `${IPHONE}) ${APPLE} Version/17.4 Mobile/15E148 Safari/604.1`,
  chromeIos: `${IPHONE}) ${APPLE} CriOS/124.0.0.0 Mobile/15E148 Safari/604.1`,
  firefoxIos: `${IPHONE}) ${APPLE} FxiOS/147.0 Mobile/15E148 Safari/605.1.15`,
} as const;
type Agent = keyof typeof AGENTS;

describe('which browser and system', () => {
  it.each([
    ['chromeLinux', 'Chrome', 140, 140, 'Linux'],
    ['edge', 'Edge', 140, 140, 'Windows'],
    ['oldOpera', 'Opera', 94, 108, 'Windows'],
    ['samsung', 'Samsung Internet', 23, 115, 'Android'],
    ['android', 'Chrome', 119, 119, 'Android'],
    ['chromebook', 'Chrome', 110, 110, 'ChromeOS'],
    ['firefoxWindows', 'Firefox', 128, 0, 'Windows'],
    ['safari', 'Safari', 17, 0, 'macOS'],
    ['iphone', 'Safari', 17, 0, 'iOS'],
    ['chromeIos', 'Chrome', 124, 0, 'iOS'],
    ['firefoxIos', 'Firefox', 147, 0, 'iOS'],
  ] as const)('%s', (agent, browser, version, engine, system) => {
    expect(detectEnvironment(AGENTS[agent])).toEqual({ browser, version, engine, system, isArm: false });
  });

  it('knows an iPad that says it is a Mac', () => {
    expect(detectEnvironment(AGENTS.safari, { touchPoints: 5 }).system).toBe('iOS');
  });

  it('knows Windows for ARM where the browser tells', () => {
    expect(detectEnvironment(AGENTS.edge, { architecture: 'arm' }).isArm).toBe(true);
    expect(detectEnvironment(AGENTS.edge, { architecture: 'x86' }).isArm).toBe(false);
  });

  it('says so when it does not know', () => {
    expect(detectEnvironment('curl/8')).toMatchObject({ browser: 'other', version: 0, engine: 0, system: 'other' });
  });
});

function adviceFor(agent: Agent, reason: 'no-webgpu' | 'no-adapter' | 'limit', hints: Hints = {}): string {
  const env = detectEnvironment(AGENTS[agent], hints);
  const problem = supportProblem(reason, 'message', env, 'http://localhost/');
  return [problem.title, problem.summary, ...problem.steps].join('\n');
}

describe('no WebGPU', () => {
  it.each<[Agent, RegExp]>([
    ['oldChrome', /Update Chrome: you have version 109, WebGPU came with version 113/],
    ['oldOpera', /Update Opera: you have version 94, which is Chrome 108, WebGPU came with version 113/],
    ['chromebook', /Update Chrome: you have version 110, WebGPU came with version 113/],
    ['chromeWindows', /its policy may switch WebGPU off.*\n.*chrome:\/\/flags\/#enable-unsafe-webgpu/],
    ['chromeMac', /has had WebGPU since version 113, but here it is switched off/],
    ['edge', /edge:\/\/flags\/#enable-unsafe-webgpu/],
    ['chromeLinux', /you have version 140, WebGPU came with version 144 \(Intel\) and 147 \(NVIDIA\)/],
    ['newChromeLinux', /Intel graphics of generation 12 or later .* NVIDIA with driver 535\.183/],
    ['newChromeLinux', /For other cards there is a switch/],
    ['android', /Update Chrome: you have version 119, WebGPU came with version 121/],
    ['newAndroid', /Android 12 or later, .*Imagination \(Chrome 139\)/],
    ['samsung', /Update Samsung Internet: you have version 23, which is Chrome 115/],
    ['firefoxWindows', /Update Firefox: you have version 128, WebGPU came with version 141/],
    ['newFirefoxWindows', /dom\.webgpu\.enabled/],
    ['firefoxMac', /you have version 140, WebGPU came with version 147 \(on Apple silicon\)/],
    ['newFirefoxMac', /Apple silicon only, not on those with Intel/],
    ['firefoxLinux', /Firefox on Linux does not have WebGPU/],
    ['firefoxAndroid', /Firefox on Android does not have WebGPU/],
    ['safari', /Safari has had WebGPU since version 26/],
    ['newSafari', /Lockdown Mode/],
    ['iphone', /iOS or iPadOS 26/],
    ['chromeIos', /another browser does not help/],
    ['firefoxIos', /another browser does not help/],
  ])('%s: %s', (agent, pattern) => {
    expect(adviceFor(agent, 'no-webgpu')).toMatch(pattern);
  });

  it('Windows for ARM has a switch, other Windows is told of policies', () => {
    expect(adviceFor('edge', 'no-webgpu', { architecture: 'arm' })).toContain('On Windows for ARM processors');
    expect(adviceFor('edge', 'no-webgpu', { architecture: 'x86' })).not.toContain('ARM');
  });

  it('names another browser wherever one would help, and only there', () => {
    for (const agent of Object.keys(AGENTS) as Agent[]) {
      const onApple = ['iphone', 'chromeIos', 'firefoxIos'].includes(agent);
      expect(adviceFor(agent, 'no-webgpu').includes('open this page in another browser'), agent).toBe(!onApple);
    }
  });
});

describe('no adapter', () => {
  it.each<[Agent, RegExp]>([
    ['edge', /edge:\/\/settings\/system, switch on “Use graphics acceleration when available”/],
    ['chromeWindows', /Windows Update .*\n.*Over Remote Desktop/],
    ['chromeWindows', /chrome:\/\/gpu says/],
    ['chromeMac', /Update macOS: it brings the graphics drivers/],
    ['newChromeLinux', /a recent Mesa with Vulkan, for NVIDIA 535\.183/],
    ['newChromeLinux', /inside a container or a virtual machine/],
    ['newChromeLinux', /chrome:\/\/flags\/#enable-unsafe-webgpu/],
    ['newAndroid', /Close other apps.*\n.*Android 12 or later/],
    ['newFirefoxWindows', /Use hardware acceleration when available/],
    ['newSafari', /Restart the browser, and update macOS/],
    ['iphone', /Close other apps, restart the device/],
    ['chromeWindows', /two minutes: wait, and check again/],
  ])('%s: %s', (agent, pattern) => expect(adviceFor(agent, 'no-adapter')).toMatch(pattern));

  it('sends nobody to settings that their browser does not have', () => {
    for (const agent of ['newSafari', 'iphone', 'chromeIos', 'newFirefoxWindows', 'newAndroid'] as const)
      expect(adviceFor(agent, 'no-adapter'), agent).not.toContain('://settings');
    for (const agent of ['newSafari', 'chromeIos', 'newFirefoxMac'] as const)
      expect(adviceFor(agent, 'no-adapter'), agent).not.toMatch(/(chrome|edge):\/\//);
  });

  it('Windows for ARM has a switch', () =>
    expect(adviceFor('edge', 'no-adapter', { architecture: 'arm' })).toContain('edge://flags/#enable-unsafe-webgpu'));
});

it('a card that lacks something: the other card, the driver, another computer', () =>
  expect(adviceFor('chromeWindows', 'limit')).toMatch(/two graphics cards.*\n.*graphics driver.*\n.*another computer/));

it('insecure page: gives the secure address, and the one on this computer', () => {
  const env = detectEnvironment(AGENTS.chromeLinux);
  const { steps } = supportProblem('insecure-context', 'message', env, 'http://box.lan:4173/?a=1');
  expect(steps.join('\n')).toContain('https://box.lan:4173/?a=1');
  expect(steps.join('\n')).toContain('http://localhost:4173/?a=1');
  expect(steps.join('\n')).toContain('ssh -L 4173:localhost:4173 server');
});
