/** Which release of which browser brought WebGPU to which system (gpuweb wiki and MDN's compatibility data, April 2026). */
import type { Environment, SystemName } from './environment.ts';

type Since = Readonly<Partial<Record<SystemName, number>>>;

/** Chromium's version, whatever the browser that is built on it is called; 113 elsewhere. */
export const CHROME_SINCE: Since = { Android: 121, Linux: 144 };

/** Absent: in no release version. On macOS with Apple silicon: 145 with macOS 26, 147 with every one. */
export const FIREFOX_SINCE: Since = { Windows: 141, macOS: 147 };

/** Also of iOS and iPadOS, where every browser is Safari underneath. */
export const SAFARI_SINCE = 26;

export const isChromium = ({ engine }: Environment): boolean => engine > 0;

/** Of the pages that a browser shows about itself. */
export function schemeOf({ browser }: Environment): string {
  if (browser === 'Edge') return 'edge';
  return browser === 'Opera' ? 'opera' : 'chrome';
}

/** `version 109`, and where a browser counts for itself `version 95, which is Chrome 109`. */
export const versionText = ({ version, engine }: Environment): string =>
  version === engine ? `version ${version}` : `version ${version}, which is Chrome ${engine}`;
