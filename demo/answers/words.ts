/** How an answer came about, in words. */
import type { Figures, MessageState } from '../conversations/types.ts';
import { formatBytes, formatCount, formatPercent, formatRate, formatSeconds, plural } from '../format.ts';

const STATE: Readonly<Record<MessageState, string | null>> = {
  complete: null,
  stopped: 'Stopped',
  cut: 'Cut short',
  writing: 'Interrupted',
  edited: 'Edited by you',
};

const ENDED: Readonly<Record<MessageState, string>> = {
  complete: 'by itself',
  stopped: 'stopped by you or an error',
  cut: 'at the most tokens',
  writing: 'its tab was closed',
  edited: 'edited by you',
};

const perToken = (bytes: number): string => `${formatBytes(bytes)} a token`;

/** `13 tokens/s · first token after 0.52 s · 45 tokens`; experts only where some were missing */
export function figuresLine(state: MessageState, figures: Figures | null): string {
  const parts: (string | null)[] = [STATE[state]];
  if (figures) {
    const { tokensPerSecond, generatedTokens, timeToFirstTokenMs, hitRate, bytesPerToken, approximations } = figures;
    parts.push(
      tokensPerSecond === null ? null : formatRate(tokensPerSecond),
      generatedTokens ? `first token after ${formatSeconds(timeToFirstTokenMs)}` : null,
      plural(generatedTokens, 'token'),
      hitRate === null || hitRate === 1 ? null : `${formatPercent(hitRate)} hits`,
      bytesPerToken ? perToken(bytesPerToken) : null,
      approximations.length ? `approximate: ${approximations.join('; ')}` : null,
    );
  }
  return parts.filter((part) => part !== null).join(' · ');
}

function promptText({ promptTokens, cachedTokens, timeToFirstTokenMs }: Figures): string {
  const read = promptTokens - cachedTokens;
  const rate = read > 0 && timeToFirstTokenMs > 0 ? `, read at ${formatRate((1000 * read) / timeToFirstTokenMs)}` : '';
  const cached = cachedTokens ? `, ${formatCount(cachedTokens)} of them known from before` : '';
  return plural(promptTokens, 'token') + cached + rate;
}

/** Everything there is to tell, as pairs of name and value. */
export function figuresList(state: MessageState, figures: Figures): (readonly [string, string])[] {
  const { tokensPerSecond, hitRate, bytesPerToken } = figures;
  const rate = tokensPerSecond === null ? '' : `, ${formatRate(tokensPerSecond)} after the first`;
  return [
    ['Prompt', promptText(figures)],
    ['First token', `after ${formatSeconds(figures.timeToFirstTokenMs)}`],
    ['Answer', plural(figures.generatedTokens, 'token') + rate],
    ...(hitRate === null ? [] : [['Experts on the card', formatPercent(hitRate)] as const]),
    ...(bytesPerToken === null ? [] : [['Read for experts', perToken(bytesPerToken)] as const]),
    ['Ended', ENDED[state]],
    ['Seed', String(figures.seed)],
    ['Model', figures.model],
  ];
}
