/**
 * What a widget's state carries in place of its view: a saved notebook, and a page that never shows the view, then hold
 * this and not two hundred kilobytes. It asks the kernel for the view's code when one is to be shown, once in a page.
 */
import type { AnyModel, AnyWidget } from '@anywidget/types';

interface State {
  /** Name of the view's code with a hash of it. */
  view: string;
}

interface ViewMessage {
  type: 'view';
  id: string;
  script: string;
  style: string;
}

interface Loaded {
  widget: AnyWidget;
  style: string;
}

const ANSWER_MS = 10_000;
const SILENT =
  'The kernel does not answer yet; the job goes on. If it has ended, run the cell again.';

/** Each widget loads this module anew: what they share lies where all of them look. */
const shared = globalThis as typeof globalThis & {
  runctlJupyterViews?: Map<string, Promise<Loaded>>;
};

function views(): Map<string, Promise<Loaded>> {
  shared.runctlJupyterViews ??= new Map();
  return shared.runctlJupyterViews;
}

async function load(model: AnyModel<State>): Promise<Loaded> {
  const { script, style } = await ask(model);
  const url = URL.createObjectURL(new Blob([script], { type: 'text/javascript' }));
  try {
    const module = (await import(/* webpackIgnore: true */ url)) as { default: AnyWidget };
    return { widget: module.default, style };
  } finally {
    URL.revokeObjectURL(url);
  }
}

function ask(model: AnyModel<State>): Promise<ViewMessage> {
  const id = crypto.randomUUID();
  return new Promise(resolve => {
    const take = (message: ViewMessage | { type: string; id?: string }): void => {
      if (message.type === 'view' && message.id === id && 'script' in message) {
        model.off('msg:custom', take);
        resolve(message);
      }
    };
    model.on('msg:custom', take);
    model.send({ type: 'view', id });
  });
}

const loader: AnyWidget<State> = {
  render: async props => {
    const { model, el } = props;
    const name = model.get('view');
    const known = views();
    let loading = known.get(name);
    if (loading === undefined) {
      loading = load(model);
      known.set(name, loading);
      loading.catch(() => known.delete(name));
    }
    const late = setTimeout(() => {
      el.textContent = SILENT;
    }, ANSWER_MS);
    const { widget, style } = await loading;
    clearTimeout(late);
    el.textContent = '';
    // In the element itself, not in the page's head: some front ends show each widget in a shadow of the page.
    const sheet = document.createElement('style');
    sheet.textContent = style;
    const place = document.createElement('div');
    el.append(sheet, place);
    if (typeof widget === 'function' || widget.render === undefined) {
      throw new Error(`${name} has no view`);
    }
    return await widget.render({ ...props, el: place });
  }
};

export default loader;
