import type { CardDocument, JobDocument } from '../api/documents';
import type { MenuItem } from '../ui/Menu';
import { loadCode, resumeLine } from '../ui/snippets';
import { newestCheckpoint } from './loss';
import { canResume, hasEnded, shortId } from './states';

/** What the card lets its menus do; what is undefined cannot be done here. */
export interface CardDoings {
  stop?: (() => void) | undefined;
  resume?: (() => void) | undefined;
  showError?: (() => void) | undefined;
  openLog: () => void;
  openJob?: (() => void) | undefined;
  insert?: ((code: string) => void) | undefined;
  copy: (text: string) => void;
  /** Where the whole log can be downloaded. */
  logUrl: string | null;
}

/** The menu of a card: what can be done with the job, as code, and as lines of the grammar. */
export function cardMenu(card: CardDocument, doings: CardDoings): MenuItem[] {
  const { job } = card;
  const items: MenuItem[] = [];
  const add = (
    label: string,
    run: (() => void) | undefined,
    more: { danger?: boolean } = {}
  ): void => {
    if (run !== undefined) {
      items.push({ kind: 'do', label, onSelect: run, ...more });
    }
  };
  add('Open', doings.openJob);
  add('Show error', doings.showError);
  add('Open log', doings.openLog);
  if (doings.logUrl !== null) {
    items.push({ kind: 'link', label: 'Download log', href: doings.logUrl });
  }
  add(resumeLabel(card), doings.resume);
  add('Stop…', doings.stop, { danger: true });
  items.push(...insertItems(card, doings), ...copyItems(job, doings));
  return items;
}

/** What a next attempt is called: it resumes only where something was saved. */
export function resumeLabel({ job, checkpoints }: CardDocument): string {
  return checkpoints.length > 0 || job.checkpoint_count > 0 ? 'Resume' : 'Run again';
}

/** Code for cells: attach, load the newest checkpoint, read the log. Empty when nothing can be inserted. */
export function insertItems(card: CardDocument, doings: CardDoings): MenuItem[] {
  const { insert } = doings;
  if (insert === undefined) {
    return [];
  }
  const { job, checkpoints } = card;
  const newest = newestCheckpoint(checkpoints);
  const codes: [string, string][] = [['Attach', `%runctl attach ${job.id}`]];
  if (newest !== null) {
    codes.push(['Load the latest checkpoint', loadCode(newest.uri)]);
  }
  codes.push(['Read the log', `%runctl logs ${job.id} --tail 200`]);
  return [
    { kind: 'heading', label: 'Insert code' },
    ...codes.map(([label, code]): MenuItem => {
      return {
        kind: 'do',
        label,
        title: code,
        onSelect: () => {
          insert(code);
        }
      };
    })
  ];
}

/** The same as lines to paste. */
export function copyItems(job: JobDocument, doings: CardDoings): MenuItem[] {
  const lines = [
    `%runctl attach ${job.id}`,
    `%runctl logs ${job.id} --follow`,
    ...(job.checkpoint_count > 0 ? [`%runctl checkpoints list ${job.id}`] : []),
    ...(hasEnded(job.state) ? [] : [`%runctl cancel ${job.id}`]),
    ...(canResume(job) ? [resumeLine(job)] : [])
  ];
  return [
    { kind: 'heading', label: 'Copy as %runctl' },
    ...lines.map((line): MenuItem => {
      return {
        kind: 'do',
        label: line.replace('%runctl ', '').replace(job.id, shortId(job.id)),
        title: line,
        onSelect: () => {
          doings.copy(line);
        }
      };
    })
  ];
}
