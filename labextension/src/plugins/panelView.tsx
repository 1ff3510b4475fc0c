import { ReactWidget } from '@jupyterlab/ui-components';
import type { ComponentType, JSX } from 'react';

import type { Host } from '../api/backend';
import { ViewRoot } from '../ui/ViewRoot';
import type { Runctl } from './tokens';

interface PanelProps {
  objectsUri?: string;
  onPlace?: (id: string) => void;
}

/** The panel as a widget: it knows which place it shows, and renders its view only while it is seen. */
export class PanelView extends ReactWidget {
  private place: string | null = null;
  private objectsUri: string | undefined;

  /**
   * @param makeHost - returns what the page can do for the views of a place
   * @param Content - the view
   */
  constructor(
    private readonly runctl: Runctl,
    private readonly makeHost: (place: string | null, showObjects: (uri: string) => void) => Host,
    private readonly Content: ComponentType<PanelProps>
  ) {
    super();
    this.addClass('rc-Widget');
    this.addClass('rc-Widget-panel');
  }

  protected override render(): JSX.Element | null {
    // A hidden panel follows nothing: what is not seen costs no request.
    if (!this.isVisible) {
      return null;
    }
    const { Content } = this;
    const host = this.makeHost(this.place, uri => {
      this.objectsUri = uri;
      this.update();
    });
    return (
      <ViewRoot backend={this.runctl.backend(this.place)} host={host}>
        <Content
          key={this.place}
          {...(this.objectsUri === undefined ? {} : { objectsUri: this.objectsUri })}
          onPlace={id => {
            this.place = id;
            this.objectsUri = undefined;
            this.update();
          }}
        />
      </ViewRoot>
    );
  }

  protected override onAfterShow(): void {
    this.update();
  }

  protected override onAfterHide(): void {
    this.update();
  }
}
