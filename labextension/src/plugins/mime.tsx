import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { JSX } from 'react';

import type { Host } from '../api/backend';
import type { CardDocument } from '../api/documents';
import { JobCard } from '../card/JobCard';
import { ViewRoot } from '../ui/ViewRoot';
import { passAppKeys } from './appKeys';
import { hostOf } from './host';
import type { Runctl } from './tokens';
import { RunctlToken } from './tokens';

/** What a cell keeps of a job; see `runctl_jupyter/display/job_mime.py`. */
export const JOB_MIME = 'application/vnd.runctl.job+json';

interface JobOutput {
  job: string;
  place: string | null;
  card: CardDocument;
}

/** ipywidgets' renderer has -10: where this extension is, its card needs no kernel. */
const RANK = -20;

/** Renders the card of a job in a cell's output, alive through the server, with or without a kernel. */
export const mimePlugin: JupyterFrontEndPlugin<void> = {
  id: 'runctl-jupyter:mime',
  description: 'Renders jobs in cell outputs without a kernel.',
  autoStart: true,
  requires: [RunctlToken, IRenderMimeRegistry],
  optional: [INotebookTracker],
  activate: (
    app: JupyterFrontEnd,
    runctl: Runctl,
    registry: IRenderMimeRegistry,
    tracker: INotebookTracker | null
  ): void => {
    registry.addFactory(
      {
        // It inserts text only, never markup: an untrusted notebook may show it.
        safe: true,
        mimeTypes: [JOB_MIME],
        createRenderer: () =>
          new JobRenderer(runctl, place => {
            return hostOf(app, tracker, place);
          })
      },
      RANK
    );
  }
};

class JobRenderer extends ReactWidget implements IRenderMime.IRenderer {
  private output: JobOutput | null = null;

  constructor(
    private readonly runctl: Runctl,
    private readonly makeHost: (place: string | null) => Host
  ) {
    super();
    this.addClass('rc-Widget');
  }

  /** Show what the output holds. The kernel sends it anew at each change of state; a live card knows already. */
  renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    const output = jobOutputOf(model.data[JOB_MIME]);
    const known = this.output;
    this.output = output;
    if (known?.job !== output.job || known.place !== output.place) {
      this.update();
      return this.renderPromise ?? Promise.resolve();
    }
    return Promise.resolve();
  }

  protected override render(): JSX.Element | null {
    if (this.output === null) {
      return null;
    }
    const { job, place, card } = this.output;
    return (
      <ViewRoot
        backend={this.runctl.backend(place)}
        host={this.makeHost(place)}
        onKeyDown={passAppKeys}
      >
        <JobCard key={job} job={job} snapshot={card} />
      </ViewRoot>
    );
  }
}

function jobOutputOf(data: unknown): JobOutput {
  const output = data as Partial<JobOutput> | undefined;
  if (output?.job === undefined || output.card === undefined) {
    throw new Error(`${JOB_MIME} without a job: saved by another version of runctl-jupyter`);
  }
  return { job: output.job, place: output.place ?? null, card: output.card };
}
