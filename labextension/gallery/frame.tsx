import type { JSX } from 'react';
import { createRoot } from 'react-dom/client';

import type { Backend, Host } from '../src/api/backend';
import { ViewRoot } from '../src/ui/ViewRoot';

/** Show a view in `#root`; `?dark` and `?width=300` in the address choose how. */
export function show(view: JSX.Element, backend: Backend, host: Host = {}): void {
  const query = new URLSearchParams(location.search);
  document.body.classList.toggle('dark', query.has('dark'));
  const root = document.getElementById('root');
  if (root === null) {
    throw new Error('the page has no #root');
  }
  root.style.width = `${query.get('width') ?? '880'}px`;
  createRoot(root).render(
    <ViewRoot backend={backend} host={host}>
      {view}
    </ViewRoot>
  );
}
