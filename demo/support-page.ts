/** The ways WebGPU can be missing, each with what the visitor can do about it: texts by reason, browser and system. */
import type { Support } from '../src/index.ts';
import type { Environment } from './environment.ts';
import type { Problem } from './problem.ts';

type Reason = Extract<Support, { ok: false }>['reason'];

const ELSEWHERE = 'Or open this page in another browser: Chrome or Edge 113, Safari 26, or Firefox 141 on Windows.';

/** Release that brought WebGPU to most machines of a system. */
const CHROME_SINCE: Partial<Record<Environment['system'], number>> = { Android: 121, Linux: 144 };

const chromeFlags = (scheme: string): string =>
  `Open ${scheme}://flags/#enable-unsafe-webgpu, choose “Enabled”, and restart the browser.`;

const schemeOf = ({ browser }: Environment): string =>
  browser === 'Edge' ? 'edge' : browser === 'Opera' ? 'opera' : 'chrome';

function chromiumSteps(env: Environment): string[] {
  const since = CHROME_SINCE[env.system] ?? 113;
  const name = env.browser === 'other' ? 'the browser' : env.browser;
  if (env.version && env.version < since)
    return [`Update ${name}: you have version ${env.version}, WebGPU came with version ${since}.`];
  if (env.system === 'Android')
    return ['WebGPU needs Android 12 or later and a fairly recent phone: update Android if you can.'];
  if (env.system === 'Linux')
    return [
      'On Linux, WebGPU is on for Intel graphics of generation 12 or later (Chrome 144) and NVIDIA with driver 535.183 or later (Chrome 147).',
      chromeFlags(schemeOf(env)),
    ];
  return [
    `${name} has had WebGPU since version 113, but here it is switched off, perhaps by a policy of your organisation.`,
    chromeFlags(schemeOf(env)),
  ];
}

function firefoxSteps({ system, version }: Environment): string[] {
  const since = system === 'Windows' ? 141 : system === 'macOS' ? 147 : null;
  if (since === null)
    return [`Firefox on ${system === 'other' ? 'this system' : system} does not have WebGPU in its release version.`];
  if (version < since)
    return [
      `Update Firefox: you have version ${version}, WebGPU came with version ${since}${system === 'macOS' ? ' (on Apple silicon)' : ''}.`,
    ];
  return ['Open about:config and check that dom.webgpu.enabled is true, then restart Firefox.'];
}

/** What to do where `navigator.gpu` does not exist. */
function noWebGpuSteps(env: Environment): string[] {
  if (env.system === 'iOS')
    return [
      'Update to iOS or iPadOS 26 or later (Settings › General › Software Update): it brought WebGPU.',
      'All browsers on iPhone and iPad use Apple’s engine, so another browser does not help.',
    ];
  if (env.browser === 'Firefox') return [...firefoxSteps(env), ELSEWHERE];
  if (env.browser === 'Safari') return ['Update macOS: Safari has had WebGPU since version 26.', ELSEWHERE];
  if (env.browser === 'other') return [ELSEWHERE.replace('Or open', 'Open')];
  return [...chromiumSteps(env), ELSEWHERE];
}

function noAdapterSteps(env: Environment): string[] {
  const acceleration =
    env.browser === 'Firefox'
      ? 'In Settings › General › Performance, allow “Use hardware acceleration when available”, then restart Firefox.'
      : env.browser === 'Safari'
        ? 'Restart the browser, and update macOS.'
        : `Open ${schemeOf(env)}://settings/system, switch on “Use graphics acceleration when available”, and restart the browser.`;
  const steps = [
    acceleration,
    'Update the graphics driver: browsers block drivers that are known to crash.',
    'Over remote desktop or inside a virtual machine there may be no graphics card to use: try on the machine itself.',
  ];
  if (env.browser !== 'Firefox' && env.browser !== 'Safari') {
    steps.push(`${schemeOf(env)}://gpu says, under “WebGPU”, why it is off.`);
    if (env.system === 'Linux') steps.push(chromeFlags(schemeOf(env)));
  }
  return steps;
}

/** @param address of the page, for the advice on insecure pages */
export function supportProblem(reason: Reason, message: string, env: Environment, address: string): Problem {
  const browser = env.browser === 'other' ? 'This browser' : env.browser;
  if (reason === 'insecure-context') {
    const secure = address.replace(/^http:/, 'https:');
    return {
      id: reason,
      title: 'This page needs a secure address',
      summary: 'Browsers offer WebGPU only to pages that come over https, or from this very computer.',
      steps: [
        `Open ${secure} instead, if the server offers it.`,
        'If the server runs on this computer, use http://localhost with the same port.',
        'From another computer, forward the port (ssh -L 4173:localhost:4173 server) and open http://localhost:4173.',
      ],
    };
  }
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
    steps: ['Try on another computer or in another browser.'],
  };
}
