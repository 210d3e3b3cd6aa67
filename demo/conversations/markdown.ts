/** The branch of a conversation that is shown, as Markdown for people. */
import { pathTo } from './tree.ts';
import type { Conversation } from './types.ts';

const quoted = (text: string): string => text.replace(/^/gm, '> ');

export function toMarkdown({ info, messages }: Conversation): string {
  const parts = [
    `# ${info.title.replace(/\s+/g, ' ')}`,
    `${new Date(info.createdAt).toISOString().slice(0, 10)} · ${info.model}`,
  ];
  if (info.system) parts.push(`**System prompt**\n\n${quoted(info.system)}`);
  for (const { role, content, figures } of pathTo(messages, info.head))
    parts.push(`## ${role === 'user' ? 'You' : (figures?.model ?? info.model)}`, content.trim());
  return `${parts.join('\n\n')}\n`;
}
