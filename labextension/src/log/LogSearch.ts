import type { Block, LogText } from './LogText';
import { lastAtMost } from './lastAtMost';
import { plainText } from './lineParts';

/** What is searched for: a pattern, or why it is none. */
export type Wanted = { pattern: RegExp; words: boolean } | { mistake: string };

/** How many lines or finds there are between two looks at the clock. */
const STRIDE = 200;

/** Read what was typed, as plain text or as a regular expression; null if it is empty. Case does not matter. */
export function wanted(typed: string, regular: boolean): Wanted | null {
  if (typed === '') {
    return null;
  }
  try {
    const source = regular ? typed : typed.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
    return { pattern: new RegExp(source, 'gi'), words: !regular };
  } catch (error) {
    if (error instanceof SyntaxError) {
      return { mistake: error.message };
    }
    throw error;
  }
}

/** Searches a text that grows, a slice of time after the other. */
export class LogSearch {
  /** Numbers of the finished lines that match, rising. */
  private readonly found: number[] = [];
  private next: number;
  private readonly first: number;

  /**
   * @param text - what is searched
   * @param pattern - with the flag `g`
   * @param words - whether the pattern is a plain text, which never reaches over the end of a line
   */
  constructor(
    private readonly text: LogText,
    private readonly pattern: RegExp,
    private readonly words: boolean
  ) {
    this.first = text.firstLine;
    this.next = text.firstLine;
  }

  /** Whether it is still about this text: lines that were put before make a new search necessary. */
  isOf(text: LogText): boolean {
    return text === this.text && text.firstLine >= this.first;
  }

  /** Search until all is searched or the clock shows `until`; return whether something is left. */
  step(until: number): boolean {
    this.next = Math.max(this.next, this.text.firstLine);
    while (this.next < this.text.unfinished) {
      const block = this.text.block(this.next);
      if (block === null) {
        return false;
      }
      if (this.words && !block.text.includes('\u001b')) {
        this.findWords(block, until);
      } else {
        this.findInLines(block, until);
      }
      if (performance.now() >= until) {
        return this.next < this.text.unfinished;
      }
    }
    return false;
  }

  /** Lines found that are held; the unfinished one is looked at each time. */
  lines(): number[] {
    const gone = lastAtMost(this.found.length, i => this.found[i], this.text.firstLine - 1) + 1;
    if (gone > 0) {
      this.found.splice(0, gone);
    }
    const number = this.text.unfinished;
    const tail = this.text.line(number);
    return tail !== null && this.matches(tail.text) ? [...this.found, number] : this.found;
  }

  private matches(line: string): boolean {
    this.pattern.lastIndex = 0;
    return this.pattern.test(plainText(line));
  }

  /** A plain text can be searched for in a whole block at once. */
  private findWords(block: Readonly<Block>, until: number): void {
    const starts = block.lineStarts;
    this.pattern.lastIndex = starts[this.next - block.firstLine] ?? 0;
    for (let count = 1; ; count += 1) {
      const match = this.pattern.exec(block.text);
      if (match === null) {
        this.next = block.firstLine + starts.length;
        return;
      }
      const index = lastAtMost(starts.length, i => starts[i], match.index);
      this.found.push(block.firstLine + index);
      this.next = block.firstLine + index + 1;
      const after = starts[index + 1];
      if (after === undefined || (count % STRIDE === 0 && performance.now() >= until)) {
        return;
      }
      this.pattern.lastIndex = after;
    }
  }

  private findInLines(block: Readonly<Block>, until: number): void {
    const end = block.firstLine + block.lineStarts.length;
    for (let count = 1; this.next < end; count += 1) {
      const line = this.text.line(this.next);
      if (line !== null && this.matches(line.text)) {
        this.found.push(this.next);
      }
      this.next += 1;
      if (count % STRIDE === 0 && performance.now() >= until) {
        return;
      }
    }
  }
}
