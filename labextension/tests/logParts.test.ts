import { describe, expect, it } from 'vitest';

import { lineParts, plainText } from '../src/log/lineParts';
import { LogSearch, wanted } from '../src/log/LogSearch';
import { LogText } from '../src/log/LogText';
import { nextFound } from '../src/log/useSearch';

const ESC = '\u001b';

describe('lineParts', () => {
  it('knows colours by name and by number', () => {
    const parts = lineParts(
      `a${ESC}[1;31mred${ESC}[0m${ESC}[38;5;208mpalette${ESC}[0m${ESC}[48;2;1;2;3mtrue${ESC}[0m${ESC}[7mrev`,
      null
    );
    expect(parts.map(part => [part.text, part.className, part.color, part.background])).toEqual([
      ['a', '', null, null],
      ['red', 'rc-ansi-red rc-ansi-bold', null, null],
      ['palette', '', '255, 135, 0', null],
      ['true', '', null, '1, 2, 3'],
      ['rev', 'rc-ansi-reverse', null, null]
    ]);
  });

  it('removes what was meant for a terminal only', () => {
    const raw = `${ESC}]0;title\u0007a${ESC}[2K${ESC}[1Gb${ESC}7c\u0008${ESC}]8;;http://x${ESC}\\link${ESC}]8;;${ESC}\\${ESC}[3`;
    expect(
      lineParts(raw, null)
        .map(part => part.text)
        .join('')
    ).toBe('abclink');
    expect(plainText(raw + '\nnext')).toBe('abclink' + `\nnext`);
  });

  it('links to web pages and to nothing else', () => {
    const parts = lineParts(
      'see (https://example.org/a?b=1). javascript://x file:///etc ftp://y http://z.',
      null
    );
    expect(parts.filter(part => part.href !== null).map(part => part.href)).toEqual([
      'https://example.org/a?b=1',
      'http://z'
    ]);
    expect(parts.map(part => part.text).join('')).toContain('javascript://x');
  });

  it('marks what was found over colours and links', () => {
    const parts = lineParts(`${ESC}[32mlo${ESC}[0mss https://e.org/loss`, /loss/gi);
    expect(parts.map(part => [part.text, part.found, part.href])).toEqual([
      ['lo', true, null],
      ['ss', true, null],
      [' ', false, null],
      ['https://e.org/', false, 'https://e.org/loss'],
      ['loss', true, 'https://e.org/loss']
    ]);
  });
});

describe('LogSearch', () => {
  function textOf(content: string): LogText {
    const text = new LogText(0);
    text.append({ start: 0, end: content.length, time: null, origin: 'script', text: content });
    return text;
  }

  function search(text: LogText, typed: string, regular = false): number[] {
    const want = wanted(typed, regular);
    if (want === null || 'mistake' in want) {
      throw new Error('nothing to search for');
    }
    const found = new LogSearch(text, want.pattern, want.words);
    while (found.step(performance.now() + 1)) {
      // The next slice.
    }
    return found.lines();
  }

  it('finds each line once, whatever its case and colours, the unfinished one too', () => {
    const text = textOf(`Loss loss\nnone\n${ESC}[1mlo${ESC}[0mss\n1.5 * (a)\nLOSS`);
    expect(search(text, 'loss')).toEqual([0, 2, 4]);
    expect(search(text, '1.5 * (a)')).toEqual([3]);
    expect(search(text, '^(none|1)', true)).toEqual([1, 3]);
    expect(search(text, 'e\\s+l', true)).toEqual([]);
  });

  it('says why something is no regular expression', () => {
    expect(wanted('', true)).toBeNull();
    expect(wanted('(a', true)).toHaveProperty('mistake');
    expect(wanted('(a', false)).toHaveProperty('pattern');
  });

  it('searches in slices, and what comes later', () => {
    const lines = Array.from(
      { length: 50_000 },
      (_, i) => `line ${String(i)}${i % 2 === 0 ? ' even' : ''}\n`
    );
    const text = textOf(lines.join(''));
    const found = new LogSearch(text, /even/gi, true);
    let slices = 1;
    // A clock that has run out already: the smallest slices there are.
    while (found.step(0)) {
      slices += 1;
    }
    expect(slices).toBeGreaterThan(10);
    expect(found.lines()).toHaveLength(25_000);
    text.append({
      start: text.end,
      end: text.end + 10,
      time: null,
      origin: 'script',
      text: 'even\nodd\n\n'
    });
    found.step(Infinity);
    expect(found.lines().at(-1)).toBe(50_000);
    text.trim(0);
    expect(found.lines().every(line => line >= text.firstLine)).toBe(true);
  });

  it('goes from find to find and round the end', () => {
    expect(nextFound([3, 7, 9], 3, true)).toBe(7);
    expect(nextFound([3, 7, 9], 9, true)).toBe(3);
    expect(nextFound([3, 7, 9], 7, false)).toBe(3);
    expect(nextFound([3, 7, 9], 3, false)).toBe(9);
    expect(nextFound([], 3, false)).toBeNull();
  });
});
