import type { CheckpointDocument, JobDocument } from '../api/documents';
import type { MenuItem } from '../ui/Menu';
import { downloadLine, forkCode, loadCode, resumeLine } from '../ui/snippets';
import { canResume } from './states';

/** What can be done with a checkpoint here; what is undefined cannot. */
export interface CheckpointDoings {
  look?: ((checkpoint: CheckpointDocument) => void) | undefined;
  openFolder?: ((checkpoint: CheckpointDocument) => void) | undefined;
  resume?: ((checkpoint: CheckpointDocument) => void) | undefined;
  download?: ((checkpoint: CheckpointDocument) => void) | undefined;
  downloadUrl: (checkpoint: CheckpointDocument) => string | null;
  insert?: ((code: string) => void) | undefined;
  copy: (text: string) => void;
}

/** A checkpoint of many files is a folder: it can also be opened as one, and is copied whole. */
export function isFolder(checkpoint: CheckpointDocument): boolean {
  return checkpoint.uri.endsWith('/');
}

/** The menu of a checkpoint's row. */
export function checkpointMenu(
  checkpoint: CheckpointDocument,
  job: JobDocument,
  doings: CheckpointDoings
): MenuItem[] {
  const items: MenuItem[] = [];
  const add = (label: string, run: (() => void) | undefined, title?: string): void => {
    if (run !== undefined) {
      items.push({ kind: 'do', label, onSelect: run, ...(title === undefined ? {} : { title }) });
    }
  };
  const { look, openFolder, resume, download, insert, copy } = doings;
  const folder = isFolder(checkpoint);
  const bound = (
    run: ((each: CheckpointDocument) => void) | undefined
  ): (() => void) | undefined =>
    run === undefined
      ? undefined
      : () => {
          run(checkpoint);
        };
  const inserting = (code: string): (() => void) | undefined =>
    insert === undefined
      ? undefined
      : () => {
          insert(code);
        };

  add('Look inside', bound(look));
  add('Open the folder', folder ? bound(openFolder) : undefined);
  add('Load into a variable', inserting(loadCode(checkpoint.uri)), loadCode(checkpoint.uri));
  add('Resume from here', canResume(job) ? bound(resume) : undefined);
  add('Fork: a new job from here', inserting(forkCode(checkpoint)), forkCode(checkpoint));
  const url = folder ? null : doings.downloadUrl(checkpoint);
  if (url !== null) {
    items.push({ kind: 'link', label: 'Download', href: url });
  } else {
    add('Download', bound(download));
  }
  items.push({ kind: 'heading', label: 'Copy' });
  const copied = (label: string, text: string): void => {
    add(
      label,
      () => {
        copy(text);
      },
      text
    );
  };
  copied('s3:// address', checkpoint.uri);
  copied('%runctl s3 download', downloadLine(checkpoint.uri));
  if (canResume(job)) {
    copied('%runctl resume --from', resumeLine(job, checkpoint));
  }
  return items;
}
