import { ReactWidget } from '@jupyterlab/ui-components';
import type { JSX } from 'react';

import type { Backend, Host } from '../api/backend';
import { ViewRoot } from '../ui/ViewRoot';
import { passAppKeys } from './appKeys';

/** A Lumino widget around a view. */
export class ViewWidget extends ReactWidget {
  constructor(
    private readonly view: () => JSX.Element,
    private readonly backend: Backend,
    private readonly host: Host
  ) {
    super();
    this.addClass('rc-Widget');
  }

  protected override render(): JSX.Element {
    return (
      <ViewRoot backend={this.backend} host={this.host} onKeyDown={passAppKeys}>
        {this.view()}
      </ViewRoot>
    );
  }
}
