import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { CommandIds } from './commandIds';
import { JobNews } from './jobNews';
import type { Settings } from './settings';
import { followSettings } from './settings';
import type { Runctl } from './tokens';
import { RunctlToken } from './tokens';

/** Says so when a job fails, is interrupted, reaches a limit or is lost, also while its notebook is closed. */
export const notificationsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'runctl-jupyter:notifications',
  description: 'Notifies of jobs that fail, are interrupted or reach a limit.',
  autoStart: true,
  requires: [RunctlToken],
  optional: [ISettingRegistry, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    runctl: Runctl,
    settings: ISettingRegistry | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('runctl_jupyter');
    let stop: (() => void) | null = null;
    const start = (): (() => void) => {
      const news = new JobNews();
      return runctl.backend(null).subscribe('jobs', {}, rows => {
        for (const { job, text, grave } of news.take(rows)) {
          Notification.emit(text, grave ? 'error' : 'warning', {
            autoClose: false,
            actions: [
              {
                label: trans.__('Show'),
                callback: () => {
                  void app.commands.execute(CommandIds.openJob, {
                    job: job.id,
                    name: job.name,
                    place: null,
                    focus: grave ? 'log' : null
                  });
                }
              }
            ]
          });
        }
      });
    };
    const apply = (chosen: Settings): void => {
      if (chosen.notifications && stop === null) {
        stop = start();
      } else if (!chosen.notifications && stop !== null) {
        stop();
        stop = null;
      }
    };
    // After the page is up: what is only looked at must not slow its start.
    void app.restored.then(() => followSettings(settings, apply));
  }
};
