import type { LogPage } from '../src/api/documents';
import { LogView } from '../src/log/LogView';
import { FakeBackend } from '../tests/fakeBackend';
import { card, job } from '../tests/samples';
import { show } from './frame';

// ?rate=100000&seconds=10 feeds so many lines a second and prints how the frames came; ?empty, ?trouble, ?ended,
// ?lines=1000, ?held (nothing to download from), ?skip choose what else is to be seen.
const query = new URLSearchParams(location.search);
const rate = Number(query.get('rate') ?? 0);
const seconds = Number(query.get('seconds') ?? 10);
const ESC = '\u001b';
const WIDTH = 100;

/** Line `index` of a log in which every line has `WIDTH` bytes, so that any part of it can be made when asked for. */
function fast(index: number): string {
  const text = `step ${String(index).padStart(9)}  train_loss=0.3187  lr=2.1e-04  ${String(index % 700)} img/s `;
  return `${text.padEnd(WIDTH - 1, '.')}\n`;
}

function sample(count: number): string {
  const lines = [
    'runctl: code 3 files, 41 kB; environment torch 2.5.1 (cached)',
    `${ESC}[32mINFO${ESC}[0m  data: 50,000 images, see https://example.org/datasets/cifar10.`,
    `${ESC}[33mWARNING${ESC}[0m  lr scheduler starts ${ESC}[1mbefore${ESC}[0m the optimizer`,
    `${ESC}[1;31mERROR${ESC}[0m  worker 3 restarted ${ESC}[38;5;208m(orange)${ESC}[0m ${ESC}[38;2;90;120;255mtrue colour${ESC}[0m`,
    `${ESC}[35mmagenta${ESC}[0m ${ESC}[36mcyan${ESC}[0m ${ESC}[34mblue${ESC}[0m ${ESC}[30mblack${ESC}[0m ${ESC}[37mwhite${ESC}[0m ${ESC}[7mreverse${ESC}[0m ${ESC}[41mon red${ESC}[0m ${ESC}[44mon blue${ESC}[0m`,
    'Genauigkeit der Prüfmenge: 87,1 % · 精度 · точность',
    '<script>alert("text, not markup")</script>',
    ` 10%|█         | 10/100\r 55%|█████▌    | 55/100\r100%|██████████| 100/100`,
    `{"step": 6090, ${'"metric": 0.25, '.repeat(20)}"end": true}`
  ];
  for (let index = lines.length; index < count; index += 1) {
    const step = index * 10;
    lines.push(
      `epoch ${String(Math.floor(index / 90))}  step ${String(step)}  train_loss=${(2.3 * Math.exp(-index / 150) + 0.3).toFixed(4)}  lr=2.1e-04  412 img/s`
    );
  }
  return lines
    .slice(0, count)
    .map(line => `${line}\n`)
    .join('');
}

const bytes = new TextEncoder().encode(sample(Number(query.get('lines') ?? 120)));
let fed = 0;

function answer(params: { start: number; limit?: number }): LogPage {
  if (query.has('empty')) {
    return { pieces: [], size: 0, ended: query.has('ended') };
  }
  const size = rate > 0 ? fed * WIDTH : bytes.length;
  const start = Math.max(0, params.start < 0 ? size + params.start : params.start);
  const end = Math.min(size, start + (params.limit ?? size));
  const text = rate > 0 ? range(start, end) : new TextDecoder().decode(bytes.slice(start, end));
  const piece = { start, end, time: '2026-11-24T14:02:11Z', origin: 'script' as const, text };
  const runner = text.indexOf('\n') + 1;
  const pieces = text.startsWith('runctl:')
    ? [
        { ...piece, end: start + runner, origin: 'runner' as const, text: text.slice(0, runner) },
        { ...piece, start: start + runner, text: text.slice(runner) }
      ]
    : [piece];
  return { pieces, size, ended: query.has('ended') };
}

function range(start: number, end: number): string {
  const first = Math.floor(start / WIDTH);
  const lines: string[] = [];
  for (let index = first; index * WIDTH < end; index += 1) {
    lines.push(fast(index));
  }
  return lines.join('').slice(start - first * WIDTH, end - first * WIDTH);
}

class Page extends FakeBackend {
  override downloadUrl(what: { uri: string } | { log: string }): string | null {
    return query.has('held') ? null : super.downloadUrl(what);
  }
}

const backend = new Page({ log: answer });

function feed(): void {
  const batch = rate / 10;
  let last = performance.now();
  let longest = 0;
  let frames = 0;
  const work: number[] = [];
  const onFrame = (now: number): void => {
    longest = Math.max(longest, now - last);
    last = now;
    frames += 1;
    if (fed < rate * seconds) {
      requestAnimationFrame(onFrame);
    } else {
      const most = Math.max(...work).toFixed(1);
      console.log(
        `fed ${String(fed)} lines; longest frame gap ${longest.toFixed(1)} ms in ${String(frames)} frames; most work of a batch ${most} ms`
      );
    }
  };
  requestAnimationFrame(onFrame);
  const timer = setInterval(() => {
    const start = fed * WIDTH;
    const text = range(start, start + batch * WIDTH);
    fed += batch;
    const end = fed * WIDTH;
    const began = performance.now();
    backend.emit('log', {
      pieces: [{ start, end, time: new Date().toISOString(), origin: 'script', text }],
      size: end,
      ended: fed >= rate * seconds
    });
    work.push(performance.now() - began);
    if (fed >= rate * seconds) {
      clearInterval(timer);
    }
  }, 100);
}

show(
  <LogView
    job="261124-125030-7k2f"
    height={Number(query.get('height') ?? 420)}
    {...(query.has('ended') ? { ended: true } : {})}
  />,
  backend
);

setTimeout(() => {
  if (rate > 0) {
    feed();
  }
  if (query.has('empty')) {
    const phases = job().phases.slice(0, 3);
    backend.emit('card', card({ job: job({ phases }) }));
  }
  if (query.has('trouble')) {
    backend.status({
      live: false,
      trouble: {
        error: 'server-unreachable',
        what: 'The Jupyter server does not answer.',
        to_resolve: 'Jobs go on without it; this view catches up when it is back.'
      }
    });
  }
  if (query.has('skip')) {
    const start = bytes.length + 21_300_000;
    const text = 'epoch 90  step 81000  train_loss=0.3001\n'.repeat(400);
    backend.emit('log', {
      pieces: [{ start, end: start + text.length, time: null, origin: 'script', text }],
      size: start + text.length,
      ended: false
    });
  }
}, 100);
