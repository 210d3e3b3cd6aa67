/** The ways WebGPU can be missing, each with what the visitor can do about it: texts by reason, browser and system. */
import type { Support } from '../src/index.ts';
import type { Environment } from './environment.ts';
import type { Problem } from './problem.ts';
import { CHROME_SINCE, versionText, FIREFOX_SINCE, isChromium, SAFARI_SINCE, schemeOf } from './webgpu-support.ts';

type Reason = Extract<Support, { ok: false }>['reason'];

const ELSEWHERE =
  'Or open this page in another browser: Chrome or Edge 113 on Windows, macOS and ChromeOS, Safari 26, or Firefox 141 on Windows.';

const POLICY = 'On a computer of an organisation, its policy may switch WebGPU off: ask whoever looks after it.';

const chromeFlags = (scheme: string): string =>
  `Open ${scheme}://flags/#enable-unsafe-webgpu, choose “Enabled”, and restart the browser.`;

/** For a browser that is new enough, by system: where WebGPU is on. */
function chromiumSteps(env: Environment): string[] {
  const name = env.browser === 'other' ? 'the browser' : env.browser;
  const scheme = schemeOf(env);
  const since = CHROME_SINCE[env.system] ?? 113;
  if (env.engine && env.engine < since)
    return [
      `Update ${name}: you have ${versionText(env)}, WebGPU came with version ${since}${env.system === 'Linux' ? ' (Intel) and 147 (NVIDIA)' : ''}.`,
      ...(env.system === 'Linux' ? [chromeFlags(scheme)] : []),
    ];
  if (env.system === 'Android')
    return [
      'WebGPU needs Android 12 or later, and a graphics chip by ARM, Qualcomm or Intel (Chrome 121), or Imagination (Chrome 139): update Android if you can.',
    ];
  if (env.system === 'Linux')
    return [
      'On Linux, WebGPU is on for Intel graphics of generation 12 or later (Chrome 144) and for NVIDIA with driver 535.183 or later (Chrome 147).',
      `For other cards there is a switch. ${chromeFlags(scheme)}`,
    ];
  if (env.isArm && env.system === 'Windows')
    return [`On Windows for ARM processors, WebGPU is behind a switch. ${chromeFlags(scheme)}`];
  return [
    `${name === 'the browser' ? 'The browser' : name} has had WebGPU since version ${since}, but here it is switched off.`,
    POLICY,
    chromeFlags(scheme),
  ];
}

function firefoxSteps({ system, version }: Environment): string[] {
  const since = FIREFOX_SINCE[system];
  if (since === undefined)
    return [`Firefox on ${system === 'other' ? 'this system' : system} does not have WebGPU in its release version.`];
  if (version < since)
    return [
      `Update Firefox: you have version ${version}, WebGPU came with version ${since}${system === 'macOS' ? ' (on Apple silicon)' : ''}.`,
    ];
  return [
    ...(system === 'macOS' ? ['Firefox has WebGPU on Macs with Apple silicon only, not on those with Intel.'] : []),
    'Open about:config and check that dom.webgpu.enabled is true, then restart Firefox.',
  ];
}

function safariSteps({ version }: Environment): string[] {
  if (version < SAFARI_SINCE) return [`Update macOS: Safari has had WebGPU since version ${SAFARI_SINCE}.`];
  return [
    `Safari has had WebGPU since version ${SAFARI_SINCE}. If Lockdown Mode is on, it takes WebGPU away: allow this site in Safari › Settings › Websites.`,
  ];
}

/** What to do where `navigator.gpu` does not exist. */
function noWebGpuSteps(env: Environment): string[] {
  if (env.system === 'iOS')
    return [
      'Update to iOS or iPadOS 26 or later (Settings › General › Software Update): it brought WebGPU.',
      'All browsers on iPhone and iPad use Apple’s engine, so another browser does not help.',
      'In an app’s own browser window, open this page in Safari instead.',
    ];
  if (env.browser === 'Firefox') return [...firefoxSteps(env), ELSEWHERE];
  if (env.browser === 'Safari') return [...safariSteps(env), ELSEWHERE];
  if (!isChromium(env)) return [ELSEWHERE.replace('Or open', 'Open')];
  return [...chromiumSteps(env), ELSEWHERE];
}

function accelerationStep(env: Environment): string {
  if (env.system === 'iOS') return 'Close other apps, restart the device, and update iOS or iPadOS.';
  if (env.browser === 'Firefox')
    return 'In Settings › General › Performance, allow “Use hardware acceleration when available” (under “Use recommended performance settings”), then restart Firefox.';
  if (env.browser === 'Safari') return 'Restart the browser, and update macOS.';
  if (env.system === 'Android') return 'Close other apps, restart the browser, and update it and Android.';
  if (!isChromium(env)) return 'In the browser’s settings, switch on graphics (hardware) acceleration, and restart it.';
  return `Open ${schemeOf(env)}://settings/system, switch on “Use graphics acceleration when available”, and restart the browser.`;
}

/** Where drivers come from. */
const DRIVERS: Partial<Record<Environment['system'], string>> = {
  Windows:
    'Update the graphics driver, from the maker of the card (Intel, NVIDIA, AMD) or by Windows Update › Advanced options › Optional updates: browsers block drivers that are known to crash.',
  Linux:
    'Update the graphics driver: for Intel and AMD a recent Mesa with Vulkan, for NVIDIA 535.183 or later. Browsers block drivers that are known to crash.',
  macOS: 'Update macOS: it brings the graphics drivers.',
  ChromeOS: 'Update ChromeOS: it brings the graphics drivers.',
};

const REMOTE: Partial<Record<Environment['system'], string>> = {
  Windows:
    'Over Remote Desktop or inside a virtual machine there may be no graphics card to use: try on the machine itself.',
  Linux:
    'Over remote desktop, inside a container or a virtual machine there may be no graphics card to use: try on the machine itself.',
  macOS: 'Inside a virtual machine there may be no graphics card to use: try on the Mac itself.',
};

function noAdapterSteps(env: Environment): string[] {
  const steps = [accelerationStep(env), DRIVERS[env.system], REMOTE[env.system]].filter((step) => step !== undefined);
  if (!isChromium(env) || env.system === 'iOS') return steps;
  if (env.system === 'Android') steps.push(...chromiumSteps(env));
  steps.push(`${schemeOf(env)}://gpu says, under “WebGPU”, why it is off.`);
  if (env.system === 'Linux') steps.push(...chromiumSteps(env));
  else if (env.isArm && env.system === 'Windows') steps.push(...chromiumSteps(env));
  steps.push(
    'After two crashes of the graphics card, a browser keeps a page from it for two minutes: wait, and check again.',
  );
  return steps;
}

function insecure(address: string): Problem {
  const secure = address.replace(/^http:/, 'https:');
  const port = new URL(address).port || '80';
  const local = new URL(address);
  local.hostname = 'localhost';
  return {
    id: 'insecure-context',
    title: 'This page needs a secure address',
    summary: 'Browsers offer WebGPU only to pages that come over https, or from this very computer.',
    steps: [
      `Open ${secure} instead, if the server offers it.`,
      `If the server runs on this computer, open ${local.href} instead.`,
      `From another computer, forward the port (ssh -L ${port}:localhost:${port} server) and open ${local.href}`,
    ],
  };
}

/** @param address of the page, for the advice on insecure pages */
export function supportProblem(reason: Reason, message: string, env: Environment, address: string): Problem {
  const browser = env.browser === 'other' ? 'This browser' : env.browser;
  if (reason === 'insecure-context') return insecure(address);
  if (reason === 'no-webgpu') {
    const where = env.system === 'other' ? '' : ` on ${env.system}`;
    return {
      id: reason,
      title: 'This browser has no WebGPU',
      summary: `webmoe computes on the graphics card through WebGPU, and ${browser === 'This browser' ? 'this browser' : browser}${where} does not offer it here.`,
      steps: noWebGpuSteps(env),
    };
  }
  if (reason === 'no-adapter') {
    return {
      id: reason,
      title: 'WebGPU finds no graphics card',
      // The engine's own words add nothing; a browser's do.
      summary: `${browser} has WebGPU, but no graphics adapter that it will use.${/^WebGPU is present/.test(message) ? '' : ` It says: ${message}`}`,
      steps: noAdapterSteps(env),
    };
  }
  return {
    id: reason,
    title: 'This graphics card lacks something',
    summary: message,
    steps: [
      'If the computer has two graphics cards, let the browser use the faster one: in the system’s graphics settings, or by plugging in the power.',
      DRIVERS[env.system] ?? 'Update the system: it brings the graphics drivers.',
      'Try on another computer or in another browser.',
    ],
  };
}
