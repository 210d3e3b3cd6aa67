/** Installing the page as an app, in browsers that offer it to pages: elsewhere the browser's own menu does, or nothing. */
import { iconButton } from '../dom.ts';

/** Chromium's; TypeScript's library has none. */
interface InstallPromptEvent extends Event {
  prompt(): Promise<unknown>;
}

let offered: InstallPromptEvent | null = null;
const buttons = new Set<HTMLButtonElement>();
const show = (): void => buttons.forEach((button) => (button.hidden = offered === null));

// From the start: the browser offers it once, maybe before the page stands.
addEventListener('beforeinstallprompt', (event) => {
  event.preventDefault(); // the page has a button of its own
  offered = event as InstallPromptEvent;
  show();
});
addEventListener('appinstalled', () => {
  offered = null;
  show();
});

/** Hidden while there is nothing to install. */
export function installButton(): HTMLButtonElement {
  const button = iconButton('Install webmoe', 'install', () => {
    const prompt = offered;
    offered = null; // it works once; a refusal may be followed by another offer
    show();
    void prompt?.prompt();
  });
  button.classList.add('install');
  buttons.add(button);
  show();
  return button;
}
