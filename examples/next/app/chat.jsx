'use client';

import { useEffect, useRef, useState } from 'react';

const DEFAULT = 'allenai/OLMoE-1B-7B-0924-Instruct';

export function Chat() {
  const loading = useRef(null);
  const [answer, setAnswer] = useState('');

  // The model, and its worker, leave with the component.
  useEffect(() => () => void loading.current?.then((model) => model.dispose()).catch(() => undefined), []);

  /** Loaded at the first question: the package comes with it, not with the page. */
  async function model() {
    try {
      const { load } = await import('webmoe');
      const source = new URLSearchParams(location.search).get('model') ?? DEFAULT;
      return await load(source, { onProgress: ({ phase }) => setAnswer(`${phase}…`) });
    } catch (error) {
      loading.current = null; // the next question tries again
      throw error;
    }
  }

  async function ask(event) {
    event.preventDefault();
    const content = new FormData(event.currentTarget).get('question');
    try {
      const { chat } = await (loading.current ??= model());
      const chunks = await chat.completions.create({
        messages: [{ role: 'user', content }],
        stream: true,
        max_completion_tokens: 200,
      });
      let text = '';
      for await (const { choices } of chunks) setAnswer((text += choices[0]?.delta.content ?? ''));
    } catch (error) {
      setAnswer(error.message);
    }
  }

  return (
    <form onSubmit={(event) => void ask(event)}>
      <input name="question" aria-label="Question" required /> <button>Ask</button>
      <pre id="answer">{answer}</pre>
    </form>
  );
}
