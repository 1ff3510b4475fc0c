/** What a row says of a machine. */
import type { InstanceDocument, InstanceState } from '../api/documents';
import { clockText, secondsBetween } from '../card/clock';
import { durationText, moneyText, rateText } from '../ui/format';

const RANK: Record<InstanceState, number> = {
  running: 0,
  pending: 0,
  stopping: 1,
  'shutting-down': 1,
  stopped: 2,
  terminated: 3
};

/** Whether a machine is gone, or going for good. */
export function isGone(machine: InstanceDocument): boolean {
  return machine.state === 'terminated';
}

/** Whether it runs up a bill for computing. */
export function isBilled(machine: InstanceDocument): boolean {
  return machine.state === 'running' || machine.state === 'pending';
}

/** What runs first, then the newest. */
export function machineOrder(a: InstanceDocument, b: InstanceDocument): number {
  return (
    RANK[a.state] - RANK[b.state] ||
    b.launched_at.localeCompare(a.launched_at) ||
    a.id.localeCompare(b.id)
  );
}

/** Whether a machine is meant by what was typed. */
export function machineMatches(machine: InstanceDocument, typed: string): boolean {
  const wanted = typed.trim().toLowerCase();
  const { name, id, state, instance_type: type, owner } = machine;
  return [name, id, state, type, owner].some(text => text.toLowerCase().includes(wanted));
}

/** What it is, for how long, and how busy; then what runs on it, whose it is and when it ends. */
export function machineLines(machine: InstanceDocument, state: string, now: number): string[] {
  const running = machine.state === 'running';
  const what = [
    state,
    machine.instance_type,
    machine.spot ? 'spot' : 'on-demand',
    ...(machine.protected === true ? ['protected'] : []),
    ...(isGone(machine) ? [] : [durationText(secondsBetween(machine.launched_at, now))]),
    ...(running && machine.gpu_percent !== null ? [`GPU ${machine.gpu_percent.toFixed(0)} %`] : [])
  ];
  const jobs = machine.jobs.map(({ name, id }) => (name === '' ? id : name)).join(', ');
  const whose = [
    jobs !== '' ? `runs ${jobs}` : running ? 'idle' : machine.state_reason,
    machine.owner,
    machine.expires_at !== null && !isGone(machine)
      ? `ends ${clockText(machine.expires_at, now)}`
      : ''
  ].filter(part => part !== '');
  return [what.join(' · '), ...(whose.length > 0 ? [whose.join(' · ')] : [])];
}

/** How many machines run and what they cost each hour: `2 machines · $1.376/h`. */
export function machinesText(machines: Iterable<InstanceDocument>): string {
  let count = 0;
  let sum = 0;
  let unknown = false;
  for (const machine of machines) {
    if (isBilled(machine)) {
      count += 1;
      sum += machine.price_per_hour ?? 0;
      unknown ||= machine.price_per_hour === null;
    }
  }
  const word = count === 1 ? 'machine' : 'machines';
  if (count === 0) {
    return `no ${word}`;
  }
  const rate = unknown ? (sum === 0 ? 'price unknown' : `over ${rateText(sum)}`) : rateText(sum);
  return `${String(count)} ${word} · ${rate}`;
}

/** Facts of a machine, in full. */
export function machineFacts(machine: InstanceDocument, now: number): [string, string][] {
  return [
    ['Id', machine.id],
    ['Zone', machine.availability_zone],
    ['Launched', clockText(machine.launched_at, now)],
    ['Ends at the latest', machine.expires_at === null ? '' : clockText(machine.expires_at, now)],
    ['Owner', machine.owner],
    ['Price', machine.price_per_hour === null ? '' : priceText(machine)],
    ['Spent', spentText(machine)],
    ['Reason', machine.state_reason]
  ].filter((fact): fact is [string, string] => fact[1] !== '');
}

function priceText(machine: InstanceDocument): string {
  const source = machine.price_source ?? '';
  return rateText(machine.price_per_hour) + (source === '' ? '' : `, ${source}`);
}

/** Say what it has cost with its disk and address; without, what the machine alone has. */
function spentText(machine: InstanceDocument): string {
  const total = machine.cost_parts?.total ?? machine.cost_usd;
  if (total === null) {
    return '';
  }
  const named = Object.entries(machine.cost_parts ?? {})
    .filter((part): part is [string, number] => typeof part[1] === 'number' && part[0] !== 'total')
    .map(([name, usd]) => `${name} ${moneyText(usd)}`);
  const unknown = machine.cost_parts?.unknown ?? [];
  const parts = [...named, ...unknown.map(name => `${name} unknown`)];
  const least = unknown.length > 0 ? 'at least ' : '';
  return `${least}${moneyText(total)}${parts.length > 1 ? ` (${parts.join(', ')})` : ''}`;
}
