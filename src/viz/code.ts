/** Sentences that name a command. */
import { html } from 'lit';

/** A token's text can have backticks of its own: only commands of this package are code. */
const COMMAND = /`(webmoe [^`]+)`/;

export const withCode = (text: string): unknown[] =>
  text.split(COMMAND).map((part, i) => (i % 2 ? html`<code>${part}</code>` : part));
