import { act, render } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import type { UserEvent } from '@testing-library/user-event';

import type { Host } from '../src/api/backend';
import { ConnectionContext } from '../src/api/context';
import type { CardDocument, JobDocument } from '../src/api/documents';
import { JobCard } from '../src/card/JobCard';
import type { JobCardProps } from '../src/card/JobCard';
import { FakeBackend } from './fakeBackend';
import { card, job } from './samples';

/** A backend of a page that has nothing but what was saved. */
export class SnapshotBackend extends FakeBackend {
  override readonly kind = 'snapshot';

  override downloadUrl(): null {
    return null;
  }
}

/** A job's card on a page, and someone who uses it. */
export function open(
  backend: FakeBackend,
  options: { host?: Host; snapshot?: CardDocument; focus?: JobCardProps['focus'] } = {}
): { user: UserEvent; container: HTMLElement } {
  const { host = {}, snapshot, focus } = options;
  const { container } = render(
    <ConnectionContext.Provider value={{ backend, host }}>
      <JobCard
        job={job().id}
        {...(snapshot === undefined ? {} : { snapshot })}
        {...(focus === undefined ? {} : { focus })}
      />
    </ConnectionContext.Provider>
  );
  return { user: userEvent.setup(), container };
}

/** What the topic `card` says now. */
export function say(backend: FakeBackend, document: CardDocument): void {
  act(() => {
    backend.emit('card', document);
  });
}

/** A card of an ended job. */
export function endedCard(
  changes: Partial<JobDocument>,
  more: Partial<CardDocument> = {}
): CardDocument {
  const at = job().updated_at;
  const phases = job().phases.map(phase => ({ ...phase, ended_at: phase.ended_at ?? at }));
  return card({ job: job({ ended_at: at, phases, machine: null, ...changes }), ...more });
}
