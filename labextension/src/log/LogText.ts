import type { LogPiece } from '../api/documents';
import { lastState, shownLines, shownState, writesOver } from './carriage';
import { lastAtMost } from './lastAtMost';

/** A line as it is drawn. */
export interface Line {
  text: string;
  time: string | null;
  origin: LogPiece['origin'];
}

/** From line `line` of a block on, this is when lines were read and whose they are. */
interface Stamp {
  line: number;
  time: string | null;
  origin: LogPiece['origin'];
}

/** Whole lines that follow each other, each with its `\n`. */
export interface Block {
  /** Number of its first line. */
  firstLine: number;
  /** The byte of the log at which it begins. */
  start: number;
  /** Whether `start` is certain; bytes that were no UTF-8 make it a guess. */
  exact: boolean;
  text: string;
  /** Where each line begins in `text`. */
  lineStarts: number[];
  stamps: Stamp[];
}

/** Small pieces are gathered to blocks of about this many characters. */
const GATHERED = 128 * 1024;
/** A line without an end is broken here, so that it can be dropped like any other. */
const LONGEST_LINE = 4 * 1024 * 1024;

/**
 * One stretch of a log without gaps, as text.
 *
 * Text is kept in large blocks with the offsets of their lines: there is no object for a line before it is drawn.
 * Lines have numbers that stay theirs while others are dropped or put before them, so these can be below zero.
 */
export class LogText {
  private blocks: Block[] = [];
  /** The last line, as long as it has no end. */
  private tail = '';
  private tailStart: number;
  private tailExact = true;
  private tailTime: string | null = null;
  private tailOrigin: LogPiece['origin'] = 'script';
  private endByte: number;
  private first: number;
  private next: number;
  private before: number | null;
  private held = 0;
  /** Whether the first line writes over what it is the rest of; known only as long as it is read. */
  private headOver = false;

  /**
   * @param start - the byte at which it begins
   * @param firstLine - number of its first line
   */
  constructor(start: number, firstLine = 0) {
    this.tailStart = start;
    this.endByte = start;
    this.first = firstLine;
    this.next = firstLine;
    this.before = start === 0 ? 0 : null;
  }

  /** The byte at which it begins. */
  get start(): number {
    return this.blocks[0]?.start ?? this.tailStart;
  }

  /** The byte after its last one. */
  get end(): number {
    return this.endByte;
  }

  /** Number of the first line. */
  get firstLine(): number {
    return this.first;
  }

  /** Number of the line that is not finished yet, which is the one after the last that is. */
  get unfinished(): number {
    return this.next;
  }

  /** The number after the last line's; an unfinished one counts. */
  get endLine(): number {
    return this.next + (this.tail === '' ? 0 : 1);
  }

  /** How many lines the log has before the first one here; null if nobody has counted them. */
  get linesBefore(): number | null {
    return this.before;
  }

  /** Characters that are held. */
  get size(): number {
    return this.held + this.tail.length;
  }

  /** Add what comes next: a piece that begins at `end`. */
  append(piece: LogPiece): void {
    const cut = piece.text.lastIndexOf('\n') + 1;
    if (this.next === this.first && !this.headOver) {
      this.headOver = writesOver(this.tail + (cut === 0 ? piece.text : firstLineOf(piece.text)));
    }
    if (cut === 0) {
      if (this.tail === '') {
        this.tailOrigin = piece.origin;
      }
      this.tail = lastState(this.tail + piece.text);
    } else {
      this.addLines(this.tail + piece.text.slice(0, cut), piece.time, piece.origin);
      const rest = piece.text.slice(cut);
      this.tail = lastState(rest);
      this.tailStart = piece.end - (rest === '' ? 0 : new TextEncoder().encode(rest).length);
      this.tailExact = !rest.includes('\uFFFD');
      this.tailOrigin = piece.origin;
    }
    this.tailTime = piece.time;
    this.endByte = piece.end;
    if (this.tail.length > LONGEST_LINE) {
      this.addLines(`${this.tail}\n`, piece.time, this.tailOrigin);
      this.tail = '';
      this.tailStart = piece.end;
      this.tailExact = true;
    }
  }

  /** Put a text before this one that ends where this one begins; it must not be used on. */
  prepend(earlier: LogText): void {
    const lines = earlier.next - earlier.first;
    const shift = this.first - earlier.next;
    if (earlier.tail !== '') {
      this.continueLine(earlier);
    }
    this.headOver = earlier.headOver || (lines === 0 && this.headOver);
    for (const block of earlier.blocks) {
      block.firstLine += shift;
    }
    this.blocks = [...earlier.blocks, ...this.blocks];
    this.held += earlier.held;
    this.first -= lines;
    if (earlier.before === 0) {
      this.before = 0;
    } else if (this.before !== null) {
      this.before -= lines;
    }
  }

  /** Drop the oldest lines until about `limit` characters are held. */
  trim(limit: number): void {
    let count = 0;
    let gone = 0;
    let chars = 0;
    for (const [index, block] of this.blocks.entries()) {
      if (this.size - chars <= limit) {
        break;
      }
      chars += block.text.length;
      const follower = this.blocks[index + 1];
      // What was dropped can be asked for again only if it is known at which byte it ends.
      if (follower?.exact ?? this.tailExact) {
        count = index + 1;
        gone = chars;
      }
    }
    if (count === 0) {
      return;
    }
    this.blocks.splice(0, count);
    this.held -= gone;
    const first = this.blocks[0]?.firstLine ?? this.next;
    if (this.before !== null) {
      this.before += first - this.first;
    }
    this.first = first;
    this.headOver = false;
  }

  /** Return a line by its number; null if it is not held. */
  line(number: number): Line | null {
    if (number === this.next && this.tail !== '') {
      return { text: shownState(this.tail), time: this.tailTime, origin: this.tailOrigin };
    }
    const block = this.block(number);
    if (block === null) {
      return null;
    }
    const index = number - block.firstLine;
    const begin = block.lineStarts[index] ?? 0;
    const end = (block.lineStarts[index + 1] ?? block.text.length) - 1;
    const stamp = block.stamps[lastAtMost(block.stamps.length, i => block.stamps[i]?.line, index)];
    return {
      text: block.text.slice(begin, end),
      time: stamp?.time ?? null,
      origin: stamp?.origin ?? 'script'
    };
  }

  /** The block that a finished line lies in. */
  block(number: number): Readonly<Block> | null {
    if (number < this.first || number >= this.next) {
      return null;
    }
    const at = lastAtMost(this.blocks.length, i => this.blocks[i]?.firstLine, number);
    return this.blocks[at] ?? null;
  }

  /** All that is held, in parts. */
  parts(): string[] {
    return [...this.blocks.map(block => block.text), shownState(this.tail)];
  }

  private addLines(raw: string, time: string | null, origin: LogPiece['origin']): void {
    const text = shownLines(raw);
    const block = this.openBlock(text.length);
    const line = block.lineStarts.length;
    if (this.tail !== '' && this.tailOrigin !== origin) {
      stamp(block, line, time, this.tailOrigin);
      stamp(block, line + 1, time, origin);
    } else {
      stamp(block, line, time, origin);
    }
    const offset = block.text.length;
    let begin = 0;
    for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', begin)) {
      block.lineStarts.push(offset + begin);
      begin = end + 1;
    }
    block.text += text;
    this.held += text.length;
    this.next = block.firstLine + block.lineStarts.length;
  }

  private openBlock(room: number): Block {
    const last = this.blocks.at(-1);
    if (last !== undefined && last.text.length + room <= GATHERED) {
      return last;
    }
    const block: Block = {
      firstLine: this.next,
      start: this.tailStart,
      exact: this.tailExact,
      text: '',
      lineStarts: [],
      stamps: []
    };
    this.blocks.push(block);
    return block;
  }

  /** The first line here is the rest of the line that is unfinished in `earlier`. */
  private continueLine(earlier: LogText): void {
    const head = this.blocks[0];
    const begin = this.headOver ? '' : earlier.tail;
    if (head === undefined) {
      if (this.tail === '') {
        this.tailTime = earlier.tailTime;
      }
      this.tail = lastState(begin + this.tail);
      this.tailStart = earlier.tailStart;
      this.tailExact = earlier.tailExact;
      this.tailOrigin = earlier.tailOrigin;
      return;
    }
    const end = head.lineStarts[1] ?? head.text.length;
    const joined = shownLines(begin + head.text.slice(0, end));
    const longer = joined.length - end;
    head.text = joined + head.text.slice(end);
    head.lineStarts = head.lineStarts.map((start, index) => (index === 0 ? 0 : start + longer));
    head.start = earlier.tailStart;
    head.exact = earlier.tailExact;
    this.held += longer;
  }
}

function stamp(block: Block, line: number, time: string | null, origin: LogPiece['origin']): void {
  const last = block.stamps.at(-1);
  if (last?.time !== time || last.origin !== origin) {
    block.stamps.push({ line, time, origin });
  }
}

function firstLineOf(text: string): string {
  return text.slice(0, text.indexOf('\n'));
}
