import type { JSX } from 'react';
import { useCallback, useEffect, useRef, useState } from 'react';

import { useConnection } from '../api/context';
import type { ErrorDocument, JobDocument } from '../api/documents';
import { countText, moneyText } from '../ui/format';
import { nameOf } from '../ui/snippets';
import { useNow } from '../ui/useNow';
import { CostsView } from './CostsView';
import { JobList } from './JobList';
import { LaunchForm } from './LaunchForm';
import { MachineList } from './MachineList';
import { isGone, machinesText } from './machineRows';
import { NoticesProvider } from './notice';
import { ObjectBrowser } from './ObjectBrowser';
import { folderUri, jobOfFolder } from './places';
import { PlaceLine } from './PlaceLine';
import { Section } from './Section';
import { isCalm, Skeleton, Stale } from './Stale';
import type { Freshness } from './useLive';
import { useCosts, useRows } from './useLive';
import { usePlace } from './usePlace';
import { useRemembered } from './remembered';

/** Everything of a place: jobs, machines, checkpoints, costs, and a form to launch. */
export function Panel(props: {
  /** An address that the browser is to show. */
  objectsUri?: string;
  /** Show another place; without it there is no choice. */
  onPlace?: (id: string) => void;
}): JSX.Element {
  return (
    <div className="rc-Panel">
      <NoticesProvider>
        <Contents {...props} />
      </NoticesProvider>
    </div>
  );
}

function Contents(props: { objectsUri?: string; onPlace?: (id: string) => void }): JSX.Element {
  const { objectsUri, onPlace } = props;
  const { host } = useConnection();
  const jobs = useRows('jobs');
  const machines = useRows('instances');
  const sums = useCosts();
  const { place, error: placeError } = usePlace(jobs.trouble === null);
  const [openJobs, setOpenJobs] = useRemembered('jobs', true);
  const [openMachines, setOpenMachines] = useRemembered('instances', true);
  const [openObjects, setOpenObjects] = useRemembered('checkpoints', true);
  const [openCosts, setOpenCosts] = useRemembered('costs', false);
  const [openLaunch, setOpenLaunch] = useRemembered('launch', false);
  const [opened, setOpened] = useState<string | null>(null);
  const [chosenUri, setChosenUri] = useState<string | null>(null);
  const browser = useRef<HTMLDivElement>(null);
  const root = place?.root ?? null;
  const uri = chosenUri ?? (root === null ? null : folderUri(root));

  const showObjects = useCallback(
    (wanted: string) => {
      setChosenUri(folderUri(wanted));
      setOpenObjects(true);
      browser.current?.scrollIntoView({ block: 'nearest' });
    },
    [setOpenObjects]
  );
  useEffect(() => {
    if (objectsUri !== undefined) {
      showObjects(objectsUri);
    }
  }, [objectsUri, showObjects]);

  const openJob = (job: JobDocument): void => {
    if (host.openJob !== undefined) {
      host.openJob(job);
    } else {
      setOpened(opened === job.id ? null : job.id);
    }
  };
  const openId = (id: string): void => {
    const job = jobs.rows.get(id);
    if (job !== undefined && host.openJob !== undefined) {
      host.openJob(job);
    } else {
      setOpenJobs(true);
      setOpened(id);
    }
  };
  const showJob = (job: JobDocument): void => {
    jobs.put(job);
    if (host.openJob !== undefined) {
      host.openJob(job);
    } else {
      setOpenJobs(true);
      setOpened(job.id);
    }
  };

  const shared = sharedTrouble([jobs, machines, sums], placeError);
  const calm = isCalm(shared?.trouble);
  /** What is told once above is not told again in a section. */
  const own = (of: Freshness): Freshness =>
    of.trouble !== null && of.trouble.what === shared?.trouble?.what
      ? { ...of, trouble: null, staleSince: null }
      : of;
  const now = useNow(shared !== null || machines.trouble !== null, 5000);
  const alive = [...machines.rows.values()].filter(each => !isGone(each)).length;
  const { costs } = sums;
  const folderJob = uri === null ? null : jobOfFolder(uri);

  return (
    <>
      <PlaceLine place={place} onPlace={onPlace} />
      {shared !== null && <Stale of={shared} now={now} />}
      <div className="rc-Panel-columns">
        <div className="rc-Panel-column">
          <Section
            title="Jobs"
            summary={jobs.loaded ? countText(jobs.rows.size) : ''}
            open={openJobs}
            onToggle={setOpenJobs}
          >
            <Stale of={own(jobs)} now={now} />
            <JobList
              live={{ ...jobs, loaded: jobs.loaded || calm }}
              place={place}
              opened={opened}
              onOpen={openJob}
              onObjects={showObjects}
            />
          </Section>
          <Section
            title="Instances"
            summary={machines.loaded ? countText(alive) : ''}
            open={openMachines}
            onToggle={setOpenMachines}
          >
            <Stale of={own(machines)} now={now} />
            <MachineList
              live={{ ...machines, loaded: machines.loaded || calm }}
              jobs={jobs.rows}
              place={place}
              onJob={openId}
            />
          </Section>
        </div>
        <div className="rc-Panel-column">
          <div ref={browser}>
            <Section
              title="Checkpoints"
              summary={uri === null ? '' : (folderJob ?? nameOf(uri))}
              open={openObjects}
              onToggle={setOpenObjects}
            >
              {uri !== null ? (
                <ObjectBrowser uri={uri} jobs={jobs.rows} onGo={setChosenUri} onJob={showJob} />
              ) : place !== null ? (
                <div className="rc-Empty">
                  Target {place.target} keeps what jobs save on this computer; there is no bucket to
                  look into. A job's card lists its checkpoints.
                </div>
              ) : shared === null ? (
                <Skeleton />
              ) : (
                <div className="rc-Empty">
                  A script that saves into <code>RUNCTL_CHECKPOINT_DIR</code> has its checkpoints
                  here.
                </div>
              )}
            </Section>
          </div>
          <Section
            title="Costs"
            summary={costs === null ? '' : `today ${moneyText(costs.today_usd)}`}
            open={openCosts}
            onToggle={setOpenCosts}
          >
            <Stale of={own(sums)} now={now} />
            {costs !== null && <CostsView costs={costs} onJob={openId} />}
            {costs === null && own(sums).trouble === null && shared === null && <Skeleton />}
            {costs === null && calm && (
              <div className="rc-Empty">Nothing has been spent that is known of.</div>
            )}
          </Section>
          <Section title="Launch" open={openLaunch} onToggle={setOpenLaunch}>
            <LaunchForm paid={place?.target !== 'local'} onJob={showJob} />
          </Section>
        </div>
      </div>
      <footer className="rc-Panel-foot rc-num">
        <span>{machines.loaded || calm ? machinesText(machines.rows.values()) : ' '}</span>
        <span>{costs === null ? '' : `today ${moneyText(costs.today_usd)}`}</span>
      </footer>
    </>
  );
}

/** The trouble that several ways have, to be told once; null when there is none. */
function sharedTrouble(ways: Freshness[], placeError: ErrorDocument | null): Freshness | null {
  const counts = new Map<string, number>();
  for (const what of [...ways.map(way => way.trouble?.what), placeError?.what]) {
    if (what !== undefined) {
      counts.set(what, (counts.get(what) ?? 0) + 1);
    }
  }
  const first = ways.find(way => way.trouble !== null && (counts.get(way.trouble.what) ?? 0) > 1);
  if (first !== undefined) {
    return first;
  }
  return placeError === null || ways.some(way => way.trouble !== null)
    ? null
    : { loaded: false, trouble: placeError, staleSince: null };
}
