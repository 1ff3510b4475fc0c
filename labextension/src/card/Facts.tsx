import type { JSX } from 'react';

import type { JobDocument, MachineSample } from '../api/documents';
import { durationText, moneyText, rateText, sizeText } from '../ui/format';
import { agoText, clockText, secondsBetween } from './clock';
import { hasEnded } from './states';

interface Fact {
  title: string;
  text: string;
  /** What there is no room for. */
  more?: string;
}

/** What a job costs, how long it has run, when it ends, and how busy its machine is. */
export function Facts(props: { job: JobDocument; now: number }): JSX.Element {
  return (
    <dl className="rc-Facts">
      {factsOf(props.job, props.now).map(fact => (
        <div key={fact.title} title={fact.more}>
          <dt>{fact.title}</dt>
          <dd className="rc-num">{fact.text}</dd>
        </div>
      ))}
    </dl>
  );
}

function factsOf(job: JobDocument, now: number): Fact[] {
  const ended = hasEnded(job.state);
  const facts: Fact[] = [
    machineFact(job, ended),
    {
      title: 'Elapsed',
      text: durationText(secondsBetween(job.created_at, job.ended_at ?? now))
    }
  ];
  if (job.target !== 'local' && (job.cost_usd !== null || job.price_per_hour !== null)) {
    const rate = job.price_per_hour === null ? {} : { more: `at ${rateText(job.price_per_hour)}` };
    facts.push({ title: 'Cost', text: costText(job), ...rate });
  }
  if (ended) {
    if (job.ended_at !== null) {
      const ended_at = `${clockText(job.ended_at, now)} · ${agoText(job.ended_at, now)}`;
      facts.push({ title: 'Ended', text: ended_at });
    }
  } else if (job.ends_at !== null) {
    const left = Math.max(0, (Date.parse(job.ends_at) - now) / 1000);
    facts.push({
      title: 'Ends at the latest',
      text: `${clockText(job.ends_at, now)} · in ${durationText(left)}`
    });
  }
  if (job.machine !== null && !ended) {
    facts.push(busyFact(job.machine));
  }
  return facts;
}

function machineFact(job: JobDocument, ended: boolean): Fact {
  if (job.target === 'local') {
    return { title: 'Machine', text: 'this computer' };
  }
  const type = `${job.instance_type ?? ''}${job.spot ? ' spot' : ''}`.trim();
  const place = job.instance_id === null && !ended ? 'being found' : job.region;
  const text = [type, place].filter(part => part !== null && part !== '').join(' · ');
  const machine = { title: 'Machine', text: text === '' ? 'none' : text };
  return job.instance_id === null ? machine : { ...machine, more: job.instance_id };
}

function costText(job: JobDocument): string {
  const cap = job.max_cost_usd === null ? '' : ` of ${moneyText(job.max_cost_usd)} cap`;
  return `${moneyText(job.cost_usd)}${cap}`;
}

/** GPUs when there are some, else processor and memory: the rest stands in the tab Machine. */
function busyFact(machine: MachineSample): Fact {
  const processor = processorText(machine);
  if (machine.gpus.length > 0) {
    return { title: 'GPU', text: gpuText(machine), more: `CPU ${processor}` };
  }
  return { title: 'CPU · memory', text: processor };
}

/** Processor and memory, e.g. `3.1 cores · 9.1 of 16.0 GB`. */
export function processorText(machine: MachineSample): string {
  const cores =
    machine.cpu_percent === null ? null : `${(machine.cpu_percent / 100).toFixed(1)} cores`;
  const memory =
    machine.memory_used === null ? null : ofText(machine.memory_used, machine.memory_total);
  return [cores, memory].filter(part => part !== null).join(' · ') || 'unknown';
}

/** All GPUs in one: mean of how busy, sum of memory. */
function gpuText({ gpus }: MachineSample): string {
  const sum = (pick: (gpu: (typeof gpus)[number]) => number): number =>
    gpus.reduce((total, gpu) => total + pick(gpu), 0);
  const percent = `${(sum(gpu => gpu.percent) / gpus.length).toFixed(0)} %`;
  const memory = ofText(
    sum(gpu => gpu.memory_used),
    sum(gpu => gpu.memory_total)
  );
  const count = gpus.length > 1 ? `${String(gpus.length)} × ` : '';
  return `${count}${percent} · ${memory}`;
}

/** `18.1 of 22.4 GB`: the unit once when both have the same. */
export function ofText(used: number, total: number | null): string {
  if (total === null) {
    return sizeText(used);
  }
  const [amount, unit] = sizeText(used).split(' ');
  const whole = sizeText(total);
  return unit !== undefined && whole.endsWith(` ${unit}`)
    ? `${amount ?? ''} of ${whole}`
    : `${sizeText(used)} of ${whole}`;
}
