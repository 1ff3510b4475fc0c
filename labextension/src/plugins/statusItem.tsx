import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { JSX } from 'react';

import { rateText } from '../ui/format';
import { CommandIds } from './commandIds';
import type { Settings } from './settings';
import { followSettings } from './settings';
import { ActiveRows } from './activeRows';
import type { Runctl } from './tokens';
import { RunctlToken } from './tokens';

/** Says in the status bar how many jobs run and what the machines cost an hour; nothing when nothing runs. */
export const statusPlugin: JupyterFrontEndPlugin<void> = {
  id: 'runctl-jupyter:status',
  description: 'Shows running jobs and their price per hour in the status bar.',
  autoStart: true,
  requires: [RunctlToken],
  optional: [IStatusBar, ISettingRegistry, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    runctl: Runctl,
    statusBar: IStatusBar | null,
    settings: ISettingRegistry | null,
    translator: ITranslator | null
  ): void => {
    if (statusBar === null) {
      return;
    }
    const trans = (translator ?? nullTranslator).load('runctl_jupyter');
    let shown: { remove: () => void } | null = null;
    const apply = (chosen: Settings): void => {
      if (chosen.statusBar && shown === null) {
        const rows = new ActiveRows(runctl.backend(null));
        const item = new StatusItem(rows, trans.__('Show jobs and machines of runctl'), () => {
          void app.commands.execute(CommandIds.showPanel);
        });
        const registered = statusBar.registerStatusItem('runctl-jupyter:status', {
          align: 'left',
          rank: 120,
          item,
          isActive: () => rows.jobs + rows.machines > 0,
          activeStateChanged: rows.changed
        });
        shown = {
          remove: () => {
            registered.dispose();
            item.dispose();
            rows.dispose();
          }
        };
      } else if (!chosen.statusBar && shown !== null) {
        shown.remove();
        shown = null;
      }
    };
    // After the page is up: what is only looked at must not slow its start.
    void app.restored.then(() => followSettings(settings, apply));
  }
};

class StatusItem extends ReactWidget {
  constructor(
    private readonly rows: ActiveRows,
    private readonly hint: string,
    private readonly onClick: () => void
  ) {
    super();
    rows.changed.connect(this.refresh);
  }

  override dispose(): void {
    this.rows.changed.disconnect(this.refresh);
    super.dispose();
  }

  protected override render(): JSX.Element {
    const { jobs, machines, pricePerHour } = this.rows;
    const parts = [
      jobs > 0 ? `${String(jobs)} ${jobs === 1 ? 'job' : 'jobs'}` : '',
      machines > 0 ? `${String(machines)} ${machines === 1 ? 'machine' : 'machines'}` : '',
      machines > 0 && pricePerHour !== null ? rateText(pricePerHour) : ''
    ];
    return (
      <button type="button" className="rc-StatusItem" title={this.hint} onClick={this.onClick}>
        {parts.filter(part => part !== '').join(' · ')}
      </button>
    );
  }

  private readonly refresh = (): void => {
    this.update();
  };
}
