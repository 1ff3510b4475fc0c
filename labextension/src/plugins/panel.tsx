import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ILabShell, ILayoutRestorer } from '@jupyterlab/application';
import { ICommandPalette, MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { Widget } from '@lumino/widgets';

import { Panel } from '../panel/Panel';
import { CommandIds } from './commandIds';
import { hostOf } from './host';
import { runctlIcon } from './icon';
import { followSettings } from './settings';
import { PanelView } from './panelView';
import type { Runctl } from './tokens';
import { RunctlToken } from './tokens';

const SIDEBAR = 'runctl-sidebar';

/** Adds the panel: in the sidebar, and as a tab. */
export const panelPlugin: JupyterFrontEndPlugin<void> = {
  id: 'runctl-jupyter:panel',
  description: 'Adds the panel of jobs, machines, checkpoints and costs.',
  autoStart: true,
  requires: [RunctlToken],
  optional: [
    ISettingRegistry,
    INotebookTracker,
    ICommandPalette,
    ILauncher,
    ILayoutRestorer,
    ILabShell,
    ITranslator
  ],
  activate: (
    app: JupyterFrontEnd,
    runctl: Runctl,
    settings: ISettingRegistry | null,
    tracker: INotebookTracker | null,
    palette: ICommandPalette | null,
    launcher: ILauncher | null,
    restorer: ILayoutRestorer | null,
    labShell: ILabShell | null,
    translator: ITranslator | null
  ): void => {
    const { commands, shell } = app;
    const trans = (translator ?? nullTranslator).load('runctl_jupyter');
    const category = trans.__('runctl');
    const view = (): PanelView =>
      new PanelView(
        runctl,
        (place, showObjects) => hostOf(app, tracker, place, showObjects),
        Panel
      );

    const sidebar = view();
    sidebar.id = SIDEBAR;
    sidebar.title.icon = runctlIcon;
    sidebar.title.caption = trans.__('runctl: jobs, machines and checkpoints');
    let added = false;
    void followSettings(settings, ({ area }) => {
      if (!added) {
        added = true;
        shell.add(sidebar, area, { rank: 650, type: 'Panel' });
        restorer?.add(sidebar, SIDEBAR);
      }
    });

    const tabs = new WidgetTracker<MainAreaWidget>({ namespace: 'runctl-panel' });
    commands.addCommand(CommandIds.showPanel, {
      label: trans.__('Show the runctl Sidebar'),
      caption: trans.__('Jobs, machines, checkpoints and costs'),
      describedBy: { args: { type: 'object', properties: {}, additionalProperties: false } },
      execute: () => {
        shell.activateById(SIDEBAR);
      }
    });
    commands.addCommand(CommandIds.openPanel, {
      label: args =>
        args.isLauncher === true ? trans.__('runctl') : trans.__('Open the runctl Panel'),
      caption: trans.__('Jobs, machines, checkpoints and costs in a tab'),
      icon: runctlIcon,
      describedBy: {
        args: { type: 'object', properties: { isLauncher: { type: 'boolean' } } }
      },
      execute: async (): Promise<Widget> => {
        const open = tabs.currentWidget;
        if (open !== null && !open.isDisposed) {
          shell.activateById(open.id);
          return open;
        }
        const tab = new MainAreaWidget({ content: view() });
        tab.id = 'runctl-panel';
        tab.title.label = trans.__('runctl');
        tab.title.icon = runctlIcon;
        await tabs.add(tab);
        shell.add(tab, 'main');
        return tab;
      }
    });
    palette?.addItem({ command: CommandIds.showPanel, category });
    palette?.addItem({ command: CommandIds.openPanel, category });
    // Notebook 7 opens a page for each document and has no tabs to add one to.
    if (labShell !== null) {
      launcher?.add({
        command: CommandIds.openPanel,
        args: { isLauncher: true },
        category: trans.__('Other')
      });
      void restorer?.restore(tabs, { command: CommandIds.openPanel, name: () => 'panel' });
    }
  }
};
