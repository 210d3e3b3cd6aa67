import { checkSupport, load, plan } from 'webmoe';

const source = new URLSearchParams(location.search).get('model') ?? 'allenai/OLMoE-1B-7B-0924-Instruct';
const [status, answer, ask, stop] = ['status', 'answer', 'ask', 'stop'].map((id) => document.getElementById(id));
const form = document.forms[0];
const messages = [];
let model;

const say = (text) => (status.textContent = text);
const gigabytes = (bytes) => `${(bytes / 1e9).toFixed(2)} GB`;

/** Nothing is downloaded before the visitor asks. */
async function prepare() {
  const support = await checkSupport();
  if (!support.ok) {
    ask.disabled = true;
    return say(support.message);
  }
  const { verdict, downloadBytes } = await plan(source);
  say(`${verdict}; asking downloads ${gigabytes(downloadBytes)}, once`);
}

async function answerTo(question) {
  const abort = new AbortController();
  stop.onclick = () => abort.abort();
  stop.disabled = false;
  const { signal } = abort;
  model ??= await load(source, {
    signal,
    onProgress: ({ phase, loadedBytes, totalBytes }) =>
      say(`${phase} ${gigabytes(loadedBytes)} of ${gigabytes(totalBytes)}`),
  });
  messages.push({ role: 'user', content: question });
  const chunks = await model.chat.completions.create(
    { messages, stream: true, stream_options: { include_usage: true }, max_completion_tokens: 200 },
    { signal },
  );
  let text = '';
  for await (const { choices, usage } of chunks) {
    text += choices[0]?.delta.content ?? '';
    answer.textContent = text;
    if (usage) say(`${usage.prompt_tokens} + ${usage.completion_tokens} tokens`);
  }
  messages.push({ role: 'assistant', content: text });
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  answerTo(form.question.value)
    .catch((error) => say(error.message))
    .finally(() => (stop.disabled = true));
});

void prepare().catch((error) => say(error.message));
