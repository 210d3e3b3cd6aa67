/** Which browser and system the visitor has, as far as help texts need to know. */

export type BrowserName = 'Chrome' | 'Edge' | 'Firefox' | 'Safari' | 'Opera' | 'Samsung Internet' | 'other';
export type SystemName = 'Windows' | 'macOS' | 'Linux' | 'ChromeOS' | 'Android' | 'iOS' | 'other';

export interface Environment {
  readonly browser: BrowserName;
  /** Major version; 0 when unknown. */
  readonly version: number;
  readonly system: SystemName;
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

const SYSTEMS: readonly (readonly [SystemName, RegExp])[] = [
  ['iOS', /\b(?:iPhone|iPad|iPod)\b/],
  ['Android', /\bAndroid\b/],
  ['ChromeOS', /\bCrOS\b/],
  ['Windows', /\bWindows\b/],
  ['macOS', /\bMacintosh\b/],
  ['Linux', /\bLinux\b/],
];

/** @param touchPoints navigator.maxTouchPoints: an iPad says it is a Mac, but no Mac has a touch screen */
export function detectEnvironment(userAgent: string, touchPoints = 0): Environment {
  const system = SYSTEMS.find(([, pattern]) => pattern.test(userAgent))?.[0] ?? 'other';
  for (const [browser, pattern] of BROWSERS) {
    const match = pattern.exec(userAgent);
    if (match)
      return { browser, version: Number(match[1]), system: system === 'macOS' && touchPoints > 1 ? 'iOS' : system };
  }
  return { browser: 'other', version: 0, system };
}
