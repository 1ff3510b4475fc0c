import type { AnyWidget } from '@anywidget/types';

import { Panel } from '../panel/Panel';
import { mount } from './shared';

/** The panel, as `PanelWidget` of the kernel shows it. */
const panel: AnyWidget = {
  render: ({ model, el }) => mount(model, el, <Panel />)
};

export default panel;
