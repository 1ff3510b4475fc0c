import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ILayoutRestorer } from '@jupyterlab/application';
import { MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import type { Widget } from '@lumino/widgets';

import { JobCard } from '../card/JobCard';
import { CommandIds } from './commandIds';
import { hostOf } from './host';
import { runctlIcon } from './icon';
import type { Runctl } from './tokens';
import { RunctlToken } from './tokens';
import { ViewWidget } from './viewWidget';

/** What a tab was opened with, for the layout to open it again. */
interface Opened extends ReadonlyPartialJSONObject {
  job: string;
  name: string;
  place: string | null;
  focus: string | null;
}

/** Opens a job's card in a tab of its own. */
export const jobTabsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'runctl-jupyter:job-tabs',
  description: 'Opens the card of a job in a tab.',
  autoStart: true,
  requires: [RunctlToken],
  optional: [INotebookTracker, ILayoutRestorer, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    runctl: Runctl,
    tracker: INotebookTracker | null,
    restorer: ILayoutRestorer | null,
    translator: ITranslator | null
  ): void => {
    const { commands, shell } = app;
    const trans = (translator ?? nullTranslator).load('runctl_jupyter');
    const tabs = new WidgetTracker<MainAreaWidget>({ namespace: 'runctl-jobs' });
    const arguments_ = new Map<string, Opened>();

    commands.addCommand(CommandIds.openJob, {
      label: trans.__('Open a runctl Job'),
      caption: trans.__('Open the card of a job in a tab'),
      describedBy: {
        args: {
          type: 'object',
          properties: {
            job: { type: 'string' },
            name: { type: 'string' },
            place: { type: ['string', 'null'] },
            focus: { type: ['string', 'null'] }
          },
          required: ['job']
        }
      },
      isVisible: () => false,
      execute: async (given): Promise<Widget> => {
        const opened = openedOf(given);
        const id = `runctl-job-${opened.job}`;
        const before = tabs.find(tab => tab.id === id);
        if (before !== undefined) {
          shell.activateById(id);
          return before;
        }
        const host = hostOf(app, tracker, opened.place);
        const focus = opened.focus === 'log' ? { focus: 'log' as const } : {};
        // The card is open already: no button to open it.
        delete host.openJob;
        delete host.openLog;
        const content = new ViewWidget(
          () => <JobCard job={opened.job} {...focus} />,
          runctl.backend(opened.place),
          host
        );
        const tab = new MainAreaWidget({ content });
        tab.id = id;
        tab.title.label = opened.name;
        tab.title.icon = runctlIcon;
        tab.title.closable = true;
        arguments_.set(id, opened);
        tab.disposed.connect(() => arguments_.delete(id));
        await tabs.add(tab);
        shell.add(tab, 'main', { mode: 'split-right' });
        return tab;
      }
    });
    void restorer?.restore(tabs, {
      command: CommandIds.openJob,
      args: tab => arguments_.get(tab.id) ?? {},
      name: tab => tab.id
    });
  }
};

function openedOf(given: ReadonlyPartialJSONObject): Opened {
  const text = (value: unknown): string | null => (typeof value === 'string' ? value : null);
  const job = text(given.job);
  if (job === null) {
    throw new Error(`${CommandIds.openJob} needs the id of a job`);
  }
  return { job, name: text(given.name) ?? job, place: text(given.place), focus: text(given.focus) };
}
