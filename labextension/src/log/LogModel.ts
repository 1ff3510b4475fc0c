import type { Topics } from '../api/backend';
import { BackendError } from '../api/backend';
import type { ErrorDocument, LogPage, LogPiece } from '../api/documents';
import { INCOMPLETE, troubleOf } from './logTrouble';
import { LogText } from './LogText';

/** Asks for the log from byte `start` on; below zero it counts from the end. */
export type AskLog = (start: number, limit: number) => Promise<LogPage>;

/** How much is asked for and held; bytes, and for text characters. */
export interface LogLimits {
  /** What is shown first, counted from the end. */
  opening: number;
  /** Most that is asked for at once. */
  page: number;
  /** A larger gap is not filled. */
  gap: number;
  /** Text that is held. */
  held: number;
  /** What may be held beside it while somebody reads: what is read must not be dropped. */
  reading: number;
}

export const LIMITS: LogLimits = {
  opening: 256 * 1024,
  page: 1024 * 1024,
  gap: 16 * 1024 * 1024,
  held: 64 * 1024 * 1024,
  reading: 32 * 1024 * 1024
};

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 30_000;

/**
 * A job's log as far as it is known here: one stretch of it that grows with what comes live.
 *
 * Live pieces may come twice, late, or with gaps between them; what lacks is asked for, and only then the piece is
 * appended. So the stretch is always what the job printed, nothing lost and nothing twice.
 */
export class LogModel {
  /** The stretch that is held. */
  text = new LogText(0);
  /** Whether the first content is there. */
  opened = false;
  /** Bytes that the log has. */
  size = 0;
  /** Whether nothing will be added any more. */
  ended = false;
  /** Why it does not go on; null while it does. */
  trouble: ErrorDocument | null = null;
  /** Whether what lies before the stretch is on its way. */
  loadingEarlier = false;
  /** While somebody reads, more may be held. */
  reading = false;

  private skip: { from: number; to: number } | null = null;
  private waiting: LogPiece[] = [];
  private asking = false;
  private closed = false;
  private pause = FIRST_PAUSE_MS;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param ask - the query `log`
   * @param onChange - called whenever something here has changed
   */
  constructor(
    private readonly ask: AskLog,
    private readonly onChange: () => void,
    private readonly limits: LogLimits = LIMITS
  ) {}

  /** Bytes before the stretch that were left out because there were too many. */
  get skipped(): number {
    return this.skip === null
      ? 0
      : Math.max(0, Math.min(this.text.start, this.skip.to) - this.skip.from);
  }

  /** Whether there is something before the stretch, and room for it. */
  get canLoadEarlier(): boolean {
    return (
      this.opened && this.text.start > 0 && this.text.size < this.limits.held + this.limits.reading
    );
  }

  /** Get the first content. */
  open(): void {
    this.goOn();
  }

  /** Take what has come live. */
  receive(event: Topics['log']['event']): void {
    this.waiting.push(...event.pieces);
    this.waiting.sort((a, b) => a.start - b.start);
    this.size = Math.max(this.size, event.size);
    this.ended = event.ended;
    this.goOn();
    this.boundWaiting();
    this.onChange();
  }

  /** Try again now what has failed. */
  retry(): void {
    clearTimeout(this.retryTimer);
    this.retryTimer = undefined;
    this.trouble = null;
    this.goOn();
    this.onChange();
  }

  /** Get a page of what lies before the stretch. */
  async loadEarlier(): Promise<void> {
    if (this.loadingEarlier || !this.canLoadEarlier) {
      return;
    }
    this.loadingEarlier = true;
    this.trouble = null;
    this.onChange();
    try {
      const { text } = this;
      const to = text.start;
      const earlier = await this.read(Math.max(0, to - this.limits.page), to);
      // Meanwhile the stretch may have begun anew, or have dropped its first lines.
      if (text === this.text && text.start === earlier.end) {
        text.prepend(earlier);
      }
    } catch (error) {
      this.trouble = troubleOf(error);
    }
    this.loadingEarlier = false;
    this.tell();
  }

  /** Say whether somebody reads what has been printed, rather than what is being printed. */
  setReading(reading: boolean): void {
    this.reading = reading;
    this.trim();
  }

  /** Stop; nothing is told any more. */
  close(): void {
    this.closed = true;
    clearTimeout(this.retryTimer);
  }

  /** Append what adjoins, and ask for what lacks unless that is under way. */
  private goOn(): void {
    this.drain();
    if (!this.asking && this.retryTimer === undefined && this.lacking() !== null) {
      void this.fetchLacking();
    }
  }

  private async fetchLacking(): Promise<void> {
    this.asking = true;
    try {
      for (let lack = this.lacking(); lack !== null && !this.closed; lack = this.lacking()) {
        this.take(await this.ask(lack.start, lack.limit), lack.start);
        this.drain();
        this.tell();
      }
      this.pause = FIRST_PAUSE_MS;
      this.trouble = null;
    } catch (error) {
      this.trouble = troubleOf(error);
      if (!this.closed) {
        this.retryTimer = setTimeout(() => {
          this.retryTimer = undefined;
          this.goOn();
        }, this.pause);
        this.pause = Math.min(2 * this.pause, LONGEST_PAUSE_MS);
      }
    }
    this.asking = false;
    this.tell();
  }

  /** What has to be asked for before anything can go on. */
  private lacking(): { start: number; limit: number } | null {
    const { page, opening } = this.limits;
    if (!this.opened) {
      return { start: -opening, limit: opening };
    }
    const to = this.text.end;
    const next = this.waiting[0];
    if (next !== undefined) {
      const until = next.start > to ? next.start : next.end;
      return { start: to, limit: Math.min(page, until - to) };
    }
    return this.ended && to < this.size ? { start: to, limit: page } : null;
  }

  private take(page: LogPage, start: number): void {
    this.size = Math.max(this.size, page.size);
    this.ended ||= page.ended;
    if (!this.opened) {
      this.opened = true;
      this.text = new LogText(page.pieces[0]?.start ?? page.size);
    }
    const before = this.text.end;
    appendAdjoining(this.text, page.pieces);
    this.trim();
    if (start < 0 || this.text.end > before) {
      return;
    }
    const next = this.waiting[0];
    if (next === undefined) {
      throw new BackendError(INCOMPLETE);
    }
    this.restart(next.start);
  }

  private drain(): void {
    if (!this.opened) {
      return;
    }
    let count = 0;
    for (const piece of this.waiting) {
      if (piece.start > this.text.end + this.limits.gap) {
        this.restart(piece.start);
      }
      if (piece.start === this.text.end) {
        this.text.append(piece);
        this.trim();
      } else if (piece.end > this.text.end) {
        break;
      }
      count += 1;
    }
    this.waiting.splice(0, count);
    this.size = Math.max(this.size, this.text.end);
  }

  /** Begin anew at a byte further on. */
  private restart(at: number): void {
    this.skip = { from: this.text.end, to: at };
    this.text = new LogText(at, this.text.endLine);
  }

  /** While a gap is being filled, what waits is bounded; what is dropped belongs to the gap then. */
  private boundWaiting(): void {
    let bytes = this.waiting.reduce((sum, piece) => sum + piece.end - piece.start, 0);
    let count = 0;
    for (const piece of this.waiting) {
      if (bytes <= this.limits.gap) {
        break;
      }
      bytes -= piece.end - piece.start;
      count += 1;
    }
    this.waiting.splice(0, count);
  }

  private async read(from: number, to: number): Promise<LogText> {
    let text: LogText | null = null;
    for (let at = from; at < to; at = text.end) {
      const page = await this.ask(at, to - at);
      // The first byte asked for may lie within a character.
      text ??= new LogText(page.pieces[0]?.start ?? to);
      appendAdjoining(text, page.pieces);
      if (text.end <= at || text.end > to) {
        throw new BackendError(INCOMPLETE);
      }
    }
    return text ?? new LogText(to);
  }

  private trim(): void {
    const { held, reading } = this.limits;
    this.text.trim(this.reading || this.loadingEarlier ? held + reading : held);
  }

  private tell(): void {
    if (!this.closed) {
      this.onChange();
    }
  }
}

function appendAdjoining(text: LogText, pieces: LogPiece[]): void {
  for (const piece of pieces) {
    if (piece.start === text.end) {
      text.append(piece);
    }
  }
}
