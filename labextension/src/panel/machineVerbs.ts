import type { InstanceDocument, InstanceState } from '../api/documents';

/** What can be done with a machine. */
export type MachineVerb = 'start' | 'stop' | 'terminate';

/** On buttons; dots where a question follows. */
export const LABELS: Record<MachineVerb, string> = {
  start: 'Start',
  stop: 'Stop…',
  terminate: 'Terminate…'
};

/** What a row shows from the click on. */
export const EXPECTED: Record<MachineVerb, { word: string; state: InstanceState }> = {
  start: { word: 'starting', state: 'pending' },
  stop: { word: 'stopping', state: 'stopping' },
  terminate: { word: 'terminating', state: 'shutting-down' }
};

/** What its state allows; a Spot machine of ours cannot be stopped, one that is protected not ended. */
export function verbsOf(machine: InstanceDocument): MachineVerb[] {
  return byState(machine).filter(
    verb =>
      !(verb === 'stop' && machine.spot) && !(verb === 'terminate' && machine.protected === true)
  );
}

function byState(machine: InstanceDocument): MachineVerb[] {
  switch (machine.state) {
    case 'running':
      return ['stop', 'terminate'];
    case 'stopped':
      return ['start', 'terminate'];
    case 'pending':
    case 'stopping':
      return ['terminate'];
    case 'shutting-down':
    case 'terminated':
      return [];
  }
}
