import type { AnyWidget } from '@anywidget/types';

import type { CardDocument } from '../api/documents';
import { JobCard } from '../card/JobCard';
import { mount } from './shared';

interface State {
  job: string;
  snapshot: CardDocument | null;
}

/** The card of a job, as `JobCardWidget` of the kernel shows it. */
const card: AnyWidget<State> = {
  render: ({ model, el }) => {
    const snapshot = model.get('snapshot');
    return mount(
      model,
      el,
      <JobCard job={model.get('job')} {...(snapshot === null ? {} : { snapshot })} />
    );
  }
};

export default card;
