import type { JSX } from 'react';
import { useMemo, useRef, useState } from 'react';

import { useConnection } from '../api/context';
import type { CheckpointDocument, SeriesDocument } from '../api/documents';
import { Trouble } from '../ui/Trouble';
import { Chart, extentOf } from './Chart';
import { Controls } from './Controls';
import { isValidation, shownNames } from './families';
import type { Drawn, Group, Line, View } from './lines';
import { groupsOf, namesOf } from './lines';
import { NoSeries } from './NoSeries';
import type { Picked } from './OverlayPicker';
import { OverlayPicker } from './OverlayPicker';
import type { XKind } from './placement';
import { placementOf } from './placement';
import { SeriesChips } from './SeriesChips';
import { useSame } from './useSame';
import { useSeries } from './useSeries';
import { useTheme } from './useTheme';

/** The curves of a job: alive, over others if asked for. */
export function Metrics(props: {
  job: string;
  snapshot?: SeriesDocument | null;
  checkpoints: CheckpointDocument[];
  ended: boolean;
  onCheckpoint: (checkpoint: CheckpointDocument) => void;
}): JSX.Element {
  const { job, snapshot = null } = props;
  const { backend } = useConnection();
  const root = useRef<HTMLElement>(null);
  const theme = useTheme(root);
  const [view, setView] = useState<View>({ kind: 'step', log: false, smoothing: 0 });
  const [chosen, setChosen] = useState<ReadonlyMap<string, boolean>>(() => new Map());
  const [picked, setPicked] = useState<Picked[]>([]);
  const [cursor, setCursor] = useState<number | null>(null);

  // What was saved is all there is when nobody can be asked.
  const alive = backend.kind !== 'snapshot';
  const followed = useSeries(useSame(alive ? [job, ...picked.map(each => each.id)] : []));
  const own = followed.get(job)?.document ?? snapshot;
  const jobs = useDrawn(job, own, picked, followed);

  const names = useMemo(() => namesOf(jobs), [jobs]);
  const shown = useMemo(() => shownNames(names, chosen), [names, chosen]);
  const hasSteps = jobs.some(each => each.placement.hasSteps);
  const kind: XKind = hasSteps ? view.kind : 'time';
  const groups = useMemo(
    () =>
      groupsOf(
        jobs,
        names.filter(name => shown.has(name)),
        { ...view, kind },
        theme.dark
      ),
    [jobs, names, shown, view, kind, theme.dark]
  );
  const placed = usePlaced(jobs[0], props.checkpoints, kind);
  const extent = extentOf(
    groups,
    placed.checkpoints.map(each => each.x)
  );
  // Curves that are merely not live are no error here: the card says so of all it shows.
  const troubles = [...followed].flatMap(([id, { document, trouble }]) =>
    ((id === job ? own : document)?.series ?? []).length === 0 ? (trouble ?? []) : []
  );

  return (
    <section ref={root} className="rc-Metrics" aria-label="metrics">
      {troubles.slice(0, 1).map(trouble => (
        <Trouble key={trouble.error} error={trouble} />
      ))}
      {own === null && troubles.length === 0 && alive && <Loading />}
      {own !== null && names.length === 0 && <NoSeries ended={props.ended} />}
      {names.length > 0 && (
        <>
          <Controls view={{ ...view, kind }} hasSteps={hasSteps} onView={setView}>
            {alive && <OverlayPicker job={job} picked={picked} onPicked={setPicked} />}
          </Controls>
          <SeriesChips
            names={names}
            shown={shown}
            onToggle={(name, on) => {
              setChosen(known => new Map(known).set(name, on));
            }}
          />
          {groups.length === 0 && <div className="rc-Empty">Choose a series above.</div>}
        </>
      )}
      {groups.slice(0, 1).map(group => (
        <Chart
          key={group.title}
          group={group}
          extent={extent}
          kind={kind}
          theme={theme}
          cursor={cursor}
          onCursor={setCursor}
          marks={placed.marks}
          checkpoints={{
            placed: placed.checkpoints,
            carrier: carrierOf(group, job),
            onOpen: props.onCheckpoint
          }}
        />
      ))}
      <div className="rc-Metrics-grid">
        {groups.slice(1).map(group => (
          <Chart
            key={group.title}
            small
            group={group}
            extent={extent}
            kind={kind}
            theme={theme}
            cursor={cursor}
            onCursor={setCursor}
            marks={placed.marks}
          />
        ))}
      </div>
    </section>
  );
}

function Loading(): JSX.Element {
  return (
    <div className="rc-Metrics-loading" role="status" aria-label="reading the metrics">
      <div className="rc-Skeleton" />
      <div className="rc-Skeleton" />
      <div className="rc-Skeleton" />
    </div>
  );
}

/** What is known of the job and of those laid over it, each with the places of its points. */
function useDrawn(
  job: string,
  own: SeriesDocument | null,
  picked: Picked[],
  followed: ReturnType<typeof useSeries>
): Drawn[] {
  return useMemo(() => {
    const known = [
      { id: job, name: 'this job', document: own },
      ...picked.map(each => ({ ...each, document: followed.get(each.id)?.document ?? null }))
    ];
    return known.flatMap(({ document, ...each }) =>
      document === null ? [] : [{ ...each, document, placement: placementOf(document) }]
    );
  }, [job, own, picked, followed]);
}

/** Checkpoints and marks of the job at their places on the x axis. */
function usePlaced(
  drawn: Drawn | undefined,
  checkpoints: CheckpointDocument[],
  kind: XKind
): {
  checkpoints: { x: number; checkpoint: CheckpointDocument }[];
  marks: { x: number; kind: 'interrupted' | 'resumed'; text: string }[];
} {
  return useMemo(() => {
    const placement = drawn?.placement;
    const document = drawn?.document;
    return {
      checkpoints: checkpoints.flatMap(checkpoint => {
        const time = Date.parse(checkpoint.created_at) / 1000;
        const x = placement?.moment(time, checkpoint.step, kind) ?? null;
        return x === null ? [] : [{ x, checkpoint }];
      }),
      marks: (document?.marks ?? []).flatMap(mark => {
        const x = placement?.moment(mark.time, mark.step, kind) ?? null;
        return x === null ? [] : [{ x, kind: mark.kind, text: mark.text }];
      })
    };
  }, [drawn, checkpoints, kind]);
}

/** The line that checkpoints lie on: what is measured on other data if there is such, else the first. */
function carrierOf(group: Group, job: string): Line | null {
  const own = group.lines.filter(line => line.key.startsWith(`${job} `));
  return own.find(line => isValidation(line.name)) ?? own[0] ?? null;
}
