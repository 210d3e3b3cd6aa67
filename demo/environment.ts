/** Which browser and system the visitor has, as far as help texts need to know. */

export type BrowserName = 'Chrome' | 'Edge' | 'Firefox' | 'Safari' | 'Opera' | 'Samsung Internet' | 'other';
export type SystemName = 'Windows' | 'macOS' | 'Linux' | 'ChromeOS' | 'Android' | 'iOS' | 'other';

export interface Environment {
  readonly browser: BrowserName;
  /** Major version; 0 when unknown. */
  readonly version: number;
  /** Of Chromium, where the browser is built on it; 0: it is not. */
  readonly engine: number;
  readonly system: SystemName;
  /** The processor, where the browser tells: Windows for ARM has WebGPU behind a switch. */
  readonly isArm: boolean;
}

/** Order matters: most of them also say Chrome and Safari. */
const BROWSERS: readonly (readonly [BrowserName, RegExp])[] = [
  ['Edge', /\bEdg(?:A|iOS)?\/(\d+)/],
  ['Opera', /\bOPR\/(\d+)/],
  ['Samsung Internet', /\bSamsungBrowser\/(\d+)/],
  ['Firefox', /\b(?:Firefox|FxiOS)\/(\d+)/],
  ['Chrome', /\b(?:Headless)?(?:Chrome|Chromium|CriOS)\/(\d+)/],
  ['Safari', /\bVersion\/(\d+)[.\d]* (?:Mobile\/\w+ )?Safari\//],
];
const CHROMIUM = /\b(?:Headless)?(?:Chrome|Chromium)\/(\d+)/;

const SYSTEMS: readonly (readonly [SystemName, RegExp])[] = [
  ['iOS', /\b(?:iPhone|iPad|iPod)\b/],
  ['Android', /\bAndroid\b/],
  ['ChromeOS', /\bCrOS\b/],
  ['Windows', /\bWindows\b/],
  ['macOS', /\bMacintosh\b/],
  ['Linux', /\bLinux\b/],
];

export interface Hints {
  /** navigator.maxTouchPoints: an iPad says it is a Mac, but no Mac has a touch screen. */
  readonly touchPoints?: number;
  /** Of the processor, from `navigator.userAgentData`: user agents of Windows say x64 for both. */
  readonly architecture?: string;
}

export function detectEnvironment(userAgent: string, { touchPoints = 0, architecture = '' }: Hints = {}): Environment {
  const named = SYSTEMS.find(([, pattern]) => pattern.test(userAgent))?.[0] ?? 'other';
  const system = named === 'macOS' && touchPoints > 1 ? 'iOS' : named;
  const found = BROWSERS.find(([, pattern]) => pattern.test(userAgent));
  const numberOf = (pattern: RegExp | undefined): number => Number(pattern?.exec(userAgent)?.[1] ?? 0);
  return {
    browser: found?.[0] ?? 'other',
    version: numberOf(found?.[1]),
    engine: system === 'iOS' ? 0 : numberOf(CHROMIUM),
    system,
    isArm: /^arm/i.test(architecture) || /\b(?:ARM64|aarch64)\b/.test(userAgent),
  };
}

interface UserAgentData {
  getHighEntropyValues(hints: readonly string[]): Promise<{ readonly architecture?: string }>;
}

/** What the browser at hand tells. */
export async function environmentHere(): Promise<Environment> {
  const { userAgent, maxTouchPoints, userAgentData } = navigator as Navigator & {
    readonly userAgentData?: UserAgentData;
  };
  const told = await userAgentData?.getHighEntropyValues(['architecture']).catch(() => undefined);
  return detectEnvironment(userAgent, { touchPoints: maxTouchPoints, architecture: told?.architecture ?? '' });
}
