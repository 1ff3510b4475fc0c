import type { AnyModel } from '@anywidget/types';
import type { JSX } from 'react';
import { createRoot } from 'react-dom/client';

import { WidgetBackend } from '../api/widgetBackend';
import { ViewRoot } from '../ui/ViewRoot';

/** Show `view` in an anywidget's element, connected to the kernel. Returns what takes it away again. */
export function mount(model: AnyModel, el: HTMLElement, view: JSX.Element): () => void {
  const backend = new WidgetBackend(model);
  const root = createRoot(el);
  root.render(
    <ViewRoot backend={backend} host={{}} className="rc-Anywhere">
      {view}
    </ViewRoot>
  );
  const leave = (): void => {
    removeEventListener('pagehide', onPageHide);
    root.unmount();
    backend.close();
  };
  // A page that is reloaded takes no view away by itself; the kernel need not send to it any more.
  const onPageHide = (event: PageTransitionEvent): void => {
    if (!event.persisted) {
      leave();
    }
  };
  addEventListener('pagehide', onPageHide);
  return leave;
}
