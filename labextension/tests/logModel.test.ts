import { describe, expect, it, vi } from 'vitest';

import { BackendError } from '../src/api/backend';
import type { LogPage, LogPiece } from '../src/api/documents';
import { shownState } from '../src/log/carriage';
import type { LogLimits } from '../src/log/LogModel';
import { LIMITS, LogModel } from '../src/log/LogModel';
import { LogText } from '../src/log/LogText';

vi.setConfig({ testTimeout: 60_000 });

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Numbers that look random and are the same in each run. */
function dice(seed: number): (below: number) => number {
  let state = seed;
  return below => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** A whole log of which pieces can be had, as the Python side has it: whole characters, exact bytes. */
class Source {
  readonly bytes: Uint8Array;
  readonly asked: { start: number; limit: number }[] = [];
  size: number;
  ended = false;

  constructor(readonly text: string) {
    this.bytes = encoder.encode(text);
    this.size = this.bytes.length;
  }

  /** The next byte from `at` on at which a character begins. */
  boundary(at: number): number {
    let byte = Math.min(at, this.bytes.length);
    while (byte < this.bytes.length && ((this.bytes[byte] ?? 0) & 0xc0) === 0x80) {
      byte += 1;
    }
    return byte;
  }

  piece(from: number, to: number): LogPiece {
    const start = this.boundary(from);
    const end = this.boundary(to);
    const text = decoder.decode(this.bytes.slice(start, end));
    return { start, end, time: '2026-11-24T14:00:00Z', origin: 'script', text };
  }

  readonly ask = (start: number, limit: number): Promise<LogPage> => {
    this.asked.push({ start, limit });
    const from = start < 0 ? Math.max(0, this.size + start) : start;
    const piece = this.piece(from, Math.min(this.size, from + limit));
    return Promise.resolve({
      pieces: piece.end > piece.start ? [piece] : [],
      size: this.size,
      ended: this.ended
    });
  };
}

function modelOf(source: Source, limits: Partial<LogLimits> = {}): LogModel {
  return new LogModel(source.ask, () => undefined, { ...LIMITS, ...limits });
}

async function until(state: () => boolean): Promise<void> {
  await vi.waitFor(
    () => {
      expect(state()).toBe(true);
    },
    { timeout: 20_000, interval: 5 }
  );
}

/** What a text shows, line by line. */
function drawn(text: LogText): string[] {
  const lines: string[] = [];
  for (let number = text.firstLine; number < text.endLine; number += 1) {
    lines.push(text.line(number)?.text ?? 'missing');
  }
  return lines;
}

function expected(text: string): string[] {
  const lines = text.split('\n');
  if (lines.at(-1) === '') {
    lines.pop();
  }
  return lines.map(shownState);
}

function randomLog(roll: (below: number) => number, length: number): string {
  const words = [
    'epoch',
    'Prüfung',
    '精度',
    '🙂',
    'loss=0.3',
    '',
    '\r 10%',
    '\r100%\r',
    '\r\n',
    '\n',
    '\n',
    ' '
  ];
  return Array.from({ length }, () => words[roll(words.length)] ?? '').join('');
}

describe('LogModel', () => {
  it('puts together what comes twice, late, out of order, overlapping and with gaps', async () => {
    for (let seed = 1; seed <= 60; seed += 1) {
      const roll = dice(seed);
      const source = new Source(randomLog(roll, 400 + roll(800)));
      const whole = source.bytes.length;
      source.size = roll(whole);
      const model = modelOf(source, { opening: 64 + roll(whole), page: 40 + roll(400) });
      model.open();
      const cuts = Array.from({ length: 30 }, () => roll(whole)).sort((a, b) => a - b);
      const pieces = [0, ...cuts].map((from, index) => source.piece(from, cuts[index] ?? whole));
      for (const [index, piece] of pieces.entries()) {
        const other = pieces[Math.max(0, index - roll(4))] ?? piece;
        const wider = source.piece(piece.start - roll(50), piece.end);
        const sent = [[piece], [], [piece, other], [other, piece], [wider]][roll(5)] ?? [];
        source.size = Math.max(source.size, ...sent.map(each => each.end));
        model.receive({
          pieces: sent.filter(p => p.end > p.start),
          size: source.size,
          ended: false
        });
        if (roll(3) === 0) {
          await Promise.resolve();
        }
      }
      source.size = whole;
      source.ended = true;
      model.receive({ pieces: [], size: whole, ended: true });
      await until(() => model.text.end === whole);
      while (model.canLoadEarlier) {
        await model.loadEarlier();
      }
      expect(model.text.start).toBe(0);
      expect(drawn(model.text)).toEqual(expected(source.text));
      expect(model.text.linesBefore).toBe(0);
      expect(model.trouble).toBeNull();
      model.close();
    }
  });

  it('begins with the last part and asks only for what lacks', async () => {
    const source = new Source('x'.repeat(99) + '\n' + 'y'.repeat(899) + '\n');
    source.size = 500;
    const model = modelOf(source, { opening: 200, page: 100 });
    model.open();
    await until(() => model.opened);
    expect([model.text.start, model.text.end]).toEqual([300, 500]);
    model.receive({ pieces: [source.piece(450, 500)], size: 500, ended: false });
    expect(source.asked).toEqual([{ start: -200, limit: 200 }]);
    source.size = 1000;
    model.receive({ pieces: [source.piece(750, 1000)], size: 1000, ended: false });
    await until(() => model.text.end === 1000);
    expect(source.asked.slice(1)).toEqual([
      { start: 500, limit: 100 },
      { start: 600, limit: 100 },
      { start: 700, limit: 50 }
    ]);
    await model.loadEarlier();
    expect(source.asked.at(-1)).toEqual({ start: 200, limit: 100 });
    expect(model.text.start).toBe(200);
  });

  it('leaves out a gap that is too large, says how much, and can get it', async () => {
    const line = 'a line of the log\n';
    const source = new Source(line.repeat(1000));
    source.size = line.length * 10;
    const model = modelOf(source, { gap: line.length * 100, page: line.length * 50 });
    model.open();
    await until(() => model.opened);
    source.size = source.bytes.length;
    const start = line.length * 900;
    const last = model.text.endLine;
    model.receive({ pieces: [source.piece(start, source.size)], size: source.size, ended: false });
    expect(model.text.start).toBe(start);
    expect(model.skipped).toBe(line.length * 890);
    // Numbers of lines are not used again: the view knows by them what it has drawn.
    expect(model.text.firstLine).toBe(last);
    expect(model.text.linesBefore).toBeNull();
    await model.loadEarlier();
    expect(model.skipped).toBe(line.length * 840);
    expect(model.text.endLine - model.text.firstLine).toBe(150);
  });

  it('holds no more than it may, counts what it dropped, and can get it again', async () => {
    const lines = Array.from({ length: 20_000 }, (_, i) => `line ${String(i)} of 20000, ünïcode`);
    const source = new Source(lines.map(line => `${line}\n`).join(''));
    const whole = source.size;
    source.size = 0;
    const model = modelOf(source, { held: 300_000, reading: 200_000, page: 50_000 });
    model.open();
    await until(() => model.opened);
    for (let at = 0; at < whole; at += 3333) {
      source.size = Math.min(whole, at + 3333);
      model.receive({ pieces: [source.piece(at, source.size)], size: source.size, ended: false });
      expect(model.text.size).toBeLessThanOrEqual(300_000);
    }
    const held = model.text.endLine - model.text.firstLine;
    expect((model.text.linesBefore ?? -1) + held).toBe(20_000);
    expect(drawn(model.text)).toEqual(lines.slice(-held));
    model.setReading(true);
    while (model.canLoadEarlier) {
      await model.loadEarlier();
    }
    const more = model.text.endLine - model.text.firstLine;
    expect(more).toBeGreaterThan(held);
    // A page may begin within a line.
    expect(drawn(model.text).slice(1)).toEqual(lines.slice(1 - more));
    model.setReading(false);
    expect(model.text.size).toBeLessThanOrEqual(300_000);
  });

  it('goes on after a failure, with all that came meanwhile', async () => {
    vi.useFakeTimers();
    try {
      const source = new Source('one\ntwo\nthree\nfour\n');
      source.size = 4;
      let down = false;
      const gone = { error: 'gone', what: 'The store does not answer.', to_resolve: 'Wait.' };
      const model = new LogModel(
        (start, limit) =>
          down ? Promise.reject(new BackendError(gone)) : source.ask(start, limit),
        () => undefined
      );
      model.open();
      await vi.advanceTimersByTimeAsync(0);
      down = true;
      source.size = 19;
      model.receive({ pieces: [source.piece(8, 14)], size: 14, ended: false });
      await vi.advanceTimersByTimeAsync(1500);
      expect(model.trouble).toEqual(gone);
      model.receive({ pieces: [source.piece(14, 19)], size: 19, ended: false });
      expect(drawn(model.text)).toEqual(['one']);
      down = false;
      await vi.advanceTimersByTimeAsync(30_000);
      expect(drawn(model.text)).toEqual(['one', 'two', 'three', 'four']);
      expect(model.trouble).toBeNull();
    } finally {
      vi.useRealTimers();
    }
  });

  it('takes a million lines in a hundred batches', async () => {
    const source = new Source('');
    const model = modelOf(source);
    model.open();
    await until(() => model.opened);
    const batch = Array.from(
      { length: 10_000 },
      (_, i) => `${`step ${String(i)} loss=0.3`.padEnd(99)}\n`
    );
    const text = batch.join('');
    const began = performance.now();
    for (let index = 0; index < 100; index += 1) {
      const start = index * text.length;
      const end = start + text.length;
      model.receive({
        pieces: [{ start, end, time: null, origin: 'script', text }],
        size: end,
        ended: false
      });
    }
    const took = performance.now() - began;
    const held = model.text.endLine - model.text.firstLine;
    expect((model.text.linesBefore ?? 0) + held).toBe(1_000_000);
    expect(model.text.end).toBe(100_000_000);
    expect(model.text.size).toBeLessThanOrEqual(LIMITS.held);
    expect(model.text.line(999_999)?.text.trim()).toBe('step 9999 loss=0.3');
    // A tenth of the ten seconds in which they may come; far more than it takes, for a busy machine.
    expect(took).toBeLessThan(5000);
  });
});

describe('LogText', () => {
  function append(
    text: LogText,
    part: string,
    origin: LogPiece['origin'] = 'script',
    time = ''
  ): void {
    const end = text.end + encoder.encode(part).length;
    text.append({ start: text.end, end, time, origin, text: part });
  }

  it('shows the last state of a bar, also while it goes on', () => {
    const text = new LogText(0);
    append(text, 'start\n\r 10%');
    expect(drawn(text)).toEqual(['start', ' 10%']);
    append(text, '\r 20%');
    expect(drawn(text)).toEqual(['start', ' 20%']);
    append(text, '\r100%\r');
    expect(drawn(text)).toEqual(['start', '100%']);
    append(text, '\nnext\r\n');
    expect(drawn(text)).toEqual(['start', '100%', 'next']);
  });

  it('does not grow with a bar that has no end', () => {
    const text = new LogText(0);
    for (let index = 0; index < 20_000; index += 1) {
      append(text, `\r${String(index)} of 20000`);
    }
    expect(drawn(text)).toEqual(['19999 of 20000']);
    expect(text.size).toBeLessThan(20);
  });

  it('knows whose words a line is and when it came', () => {
    const text = new LogText(0);
    append(text, 'no end', 'script', 'first');
    append(text, '\nrunctl: ended\n', 'runner', 'second');
    append(text, 'script again\n', 'script', 'third');
    expect([0, 1, 2].map(number => text.line(number))).toEqual([
      { text: 'no end', origin: 'script', time: 'second' },
      { text: 'runctl: ended', origin: 'runner', time: 'second' },
      { text: 'script again', origin: 'script', time: 'third' }
    ]);
    expect(text.line(3)).toBeNull();
    expect(text.line(-1)).toBeNull();
  });

  it('breaks a line that never ends', () => {
    const text = new LogText(0);
    for (let index = 0; index < 40; index += 1) {
      append(text, 'x'.repeat(250_000));
    }
    expect(text.endLine).toBe(3);
    text.trim(5_000_000);
    expect(text.size).toBeLessThanOrEqual(5_000_000);
  });
});
