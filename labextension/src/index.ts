/** The JupyterLab side of runctl-jupyter: what a kernel cannot add to the page by itself. */
import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { commandsPlugin } from './plugins/commands';
import { connectionPlugin } from './plugins/connection';
import { jobTabsPlugin } from './plugins/jobTabs';
import { mimePlugin } from './plugins/mime';
import { notificationsPlugin } from './plugins/notifications';
import { panelPlugin } from './plugins/panel';
import { statusPlugin } from './plugins/statusItem';

const plugins: JupyterFrontEndPlugin<unknown>[] = [
  connectionPlugin,
  commandsPlugin,
  panelPlugin,
  jobTabsPlugin,
  mimePlugin,
  statusPlugin,
  notificationsPlugin
];

export default plugins;
export type { Runctl } from './plugins/tokens';
export { RunctlToken } from './plugins/tokens';
