/** What is asked before something is destroyed: what is lost, and what is kept. */
import type { InstanceDocument, JobDocument } from '../api/documents';
import { countText, cutMiddle } from '../ui/format';
import type { Question } from '../ui/Confirm';

const NAME = 40;

/** Before a job is stopped. */
export function stopJobQuestion(job: JobDocument): Question {
  const store = job.target === 'local' ? 'on this computer' : 'in S3';
  const begun = job.phases.some(phase => phase.name === 'training');
  const last = begun ? ' The script is told to save first and has 90 s.' : '';
  return {
    title: `Stop ${cutMiddle(job.name, NAME)}?`,
    lost: begun ? `${unsaved(job)}.` : 'nothing, the script has not begun.',
    kept: `its log${saved(job)} and uploaded outputs, ${store}.${last}`,
    verb: 'Stop'
  };
}

/** Before a machine is stopped or terminated. `jobs` are those that are known, `user` is who asks. */
export function machineQuestion(
  verb: 'stop' | 'terminate',
  machine: InstanceDocument,
  jobs: ReadonlyMap<string, JobDocument>,
  user: string | null
): Question {
  const word = verb === 'stop' ? 'Stop' : 'Terminate';
  const name = cutMiddle(machine.name === '' ? machine.id : machine.name, NAME);
  const losses = [
    ...(verb === 'terminate' ? ['its disk'] : ['what is in its memory']),
    ...machine.jobs.map(({ id, name: title }) => {
      const job = jobs.get(id);
      const work = job === undefined ? 'what it has not saved' : unsaved(job);
      return `the job ${cutMiddle(title, NAME)} that runs on it, with ${work}`;
    })
  ];
  const kept =
    verb === 'stop'
      ? 'its disk, which is billed on, and everything in S3.'
      : 'checkpoints, logs and outputs that are in S3.';
  return {
    title: `${ownerText(machine.owner, user)}${word} ${name}?`,
    lost: `${losses.join('; ')}.`,
    kept,
    verb: word
  };
}

function unsaved(job: JobDocument): string {
  return job.checkpoint_count === 0
    ? 'all it has done, there is no checkpoint yet'
    : 'what it has done since its last checkpoint';
}

function saved(job: JobDocument): string {
  const count = job.checkpoint_count;
  return count === 0 ? '' : `, ${countText(count)} checkpoint${count === 1 ? '' : 's'}`;
}

/** Say whose it is when it is not, or may not be, of whoever asks. */
function ownerText(owner: string, user: string | null): string {
  if (owner === '' || owner === user) {
    return '';
  }
  return user === null ? `Its owner is ${owner}. ` : `Its owner is ${owner}, you are ${user}. `;
}
