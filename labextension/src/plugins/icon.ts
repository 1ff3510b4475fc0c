import { LabIcon } from '@jupyterlab/ui-components';

/** A machine with a curve on it. */
export const runctlIcon = new LabIcon({
  name: 'runctl-jupyter:icon',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 24 24">' +
    '<path class="jp-icon3" fill="#616161" d="M4 4h16a2 2 0 0 1 2 2v9a2 2 0 0 1-2 2h-6v2h3v2H7v-2h3v-2H4a2 2 0 0 1-2-2V6c0-1.1.9-2 2-2zm0 2v9h16V6H4zm1.6 1h1.8c.4 3.6 3.4 5.4 11 5.6v1.8C9.6 14.2 6 11.800 5.600 7z"/></svg>'
});
