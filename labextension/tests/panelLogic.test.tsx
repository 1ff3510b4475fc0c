import { describe, expect, it } from 'vitest';

import type { InstanceDocument } from '../src/api/documents';
import { mostText, secondsOf } from '../src/panel/launchCost';
import { jobLine, jobOrder } from '../src/panel/jobRows';
import { machineFacts, machineLines, machineOrder, machinesText } from '../src/panel/machineRows';
import { verbsOf } from '../src/panel/machineVerbs';
import type { Wish } from '../src/panel/magicLine';
import { launchLine, notebookLine } from '../src/panel/magicLine';
import { crumbs, jobOfFolder } from '../src/panel/places';
import { machineQuestion, stopJobQuestion } from '../src/panel/questions';
import { applyRows } from '../src/panel/useLive';
import { NOW, before, instance, job } from './samples';

function wish(changes: Partial<Wish> = {}): Wish {
  return {
    script: 'train.py',
    words: '',
    instanceType: '',
    name: '',
    maxCost: '',
    ttl: '',
    dataS3: '',
    outputS3: '',
    parameters: [],
    ...changes
  };
}

describe('rows that change', () => {
  const a = { id: 'a', n: 1 };
  const b = { id: 'b', n: 1 };

  it('are taken over, changed and removed, and a reset forgets', () => {
    const first = applyRows(new Map(), { reset: true, rows: [a, b], removed: [] });
    const second = applyRows(first, { reset: false, rows: [{ id: 'a', n: 2 }], removed: ['b'] });
    expect([...second.values()]).toEqual([{ id: 'a', n: 2 }]);
    expect([...first.keys()]).toEqual(['a', 'b']);
    expect([...applyRows(second, { reset: true, rows: [b], removed: [] }).keys()]).toEqual(['b']);
  });
});

describe('the order', () => {
  it('of jobs: living ones first, then the newest', () => {
    const rows = [
      job({ id: 'old-end', state: 'failed', created_at: before(900) }),
      job({ id: 'old-run', state: 'running', created_at: before(800) }),
      job({ id: 'new-end', state: 'succeeded', created_at: before(10) }),
      job({ id: 'queued', state: 'queued', created_at: before(5) })
    ];
    expect(rows.sort(jobOrder).map(each => each.id)).toEqual([
      'queued',
      'old-run',
      'new-end',
      'old-end'
    ]);
  });

  it('of machines: what runs, then what changes, what is stopped, what is gone', () => {
    const rows = (['terminated', 'stopped', 'stopping', 'pending'] as const).map(state =>
      instance({ id: state, state })
    );
    expect(rows.sort(machineOrder).map(each => each.id)).toEqual([
      'pending',
      'stopping',
      'stopped',
      'terminated'
    ]);
  });
});

describe('what a row says', () => {
  it('of jobs', () => {
    expect(jobLine(job(), 'running', NOW)).toBe('running · 1 h 10 m · step 6,100 of 10,000');
    const cause = { kind: 'oom', message: 'CUDA out of memory', signal: null };
    const ended = job({ state: 'failed', cause, started_at: before(180), ended_at: before(0) });
    expect(jobLine(ended, 'failed', NOW)).toBe('failed · CUDA out of memory · 3 m');
    const young = job({
      state: 'starting',
      phase: 'capacity',
      progress: null,
      started_at: null,
      created_at: before(42),
      phases: [{ name: 'capacity', began_at: before(42), ended_at: null, detail: 'no g5 in 1b' }]
    });
    expect(jobLine(young, 'starting', NOW)).toBe('starting · 42 s · capacity: no g5 in 1b');
  });

  it('of machines', () => {
    const busy = instance({ spot: true, jobs: [{ id: 'x', name: 'resnet' }], expires_at: null });
    expect(machineLines(busy, 'running', NOW)).toEqual([
      'running · g5.xlarge · spot · 3 h 05 m · GPU 12 %',
      'runs resnet · ada'
    ]);
    expect(machineLines(instance({ expires_at: null }), 'running', NOW)[1]).toBe('idle · ada');
    const kept = machineLines(instance({ protected: true }), 'running', NOW)[0];
    expect(kept).toContain('on-demand · protected');
  });

  it('of what a machine costs, part by part, with what is not known', () => {
    const facts = (changes: Partial<InstanceDocument>): Record<string, string> =>
      Object.fromEntries(machineFacts(instance(changes), NOW));
    const priced = facts({
      price_source: 'AWS price list, today',
      cost_parts: { machine: 3.1, disk: 0.06, total: 3.16, unknown: ['address'] }
    });
    expect(priced.Price).toBe('$1.006/h, AWS price list, today');
    expect(priced.Spent).toBe('at least $3.16 (machine $3.10, disk $0.060, address unknown)');
    expect(facts({}).Spent).toBe('$3.10');
    expect(facts({ price_per_hour: null, cost_usd: null }).Price).toBeUndefined();
  });

  it('and offers only what can be done with one', () => {
    expect(verbsOf(instance())).toEqual(['stop', 'terminate']);
    expect(verbsOf(instance({ spot: true }))).toEqual(['terminate']);
    expect(verbsOf(instance({ protected: true }))).toEqual(['stop']);
  });

  it('of all of them together, and does not make up a price', () => {
    const two = [instance(), instance({ price_per_hour: 0.37 }), instance({ state: 'stopped' })];
    expect(machinesText(two)).toBe('2 machines · $1.376/h');
    expect(machinesText([instance({ price_per_hour: null })])).toBe('1 machine · price unknown');
    expect(machinesText([instance(), instance({ price_per_hour: null })])).toBe(
      '2 machines · over $1.006/h'
    );
    expect(machinesText([])).toBe('no machines');
  });
});

describe('questions', () => {
  const jobs = new Map([[job().id, job()]]);

  it('name what is lost with a machine and what is kept', () => {
    const busy = instance({ jobs: [{ id: job().id, name: 'resnet-lr3e-4' }] });
    const asked = machineQuestion('terminate', busy, jobs, 'ada');
    expect(asked.title).toBe('Terminate dev-box?');
    expect(asked.lost).toBe(
      'its disk; the job resnet-lr3e-4 that runs on it, with what it has done since its last checkpoint.'
    );
    expect(asked.kept).toContain('in S3');
    const bare = new Map([[job().id, job({ checkpoint_count: 0 })]]);
    expect(machineQuestion('terminate', busy, bare, null).lost).toContain(
      'all it has done, there is no checkpoint yet'
    );
    expect(machineQuestion('stop', busy, jobs, 'ada').kept).toContain('its disk');
  });

  it('say whose it is when it is not yours', () => {
    const title = (user: string | null): string =>
      machineQuestion('terminate', instance({ owner: 'grace' }), jobs, user).title;
    expect(title('ada')).toBe('Its owner is grace, you are ada. Terminate dev-box?');
    expect(title('grace')).toBe('Terminate dev-box?');
    expect(title(null)).toBe('Its owner is grace. Terminate dev-box?');
  });

  it('name what is lost with a job', () => {
    expect(stopJobQuestion(job()).lost).toBe('what it has done since its last checkpoint.');
    expect(stopJobQuestion(job()).kept).toContain('10 checkpoints');
    expect(stopJobQuestion(job({ phases: [] })).lost).toBe('nothing, the script has not begun.');
  });
});

describe('the line of the form', () => {
  it('has what was asked for, in order, and nothing else', () => {
    const all = wish({
      instanceType: 'g5.xlarge',
      name: 'digits',
      maxCost: '5',
      ttl: '8h',
      dataS3: 's3://b/in/',
      outputS3: 's3://b/out/',
      words: '--epochs 20',
      parameters: [
        { name: 'lr', value: '0.1' },
        { name: ' ', value: 'left out' }
      ]
    });
    expect(launchLine(all)).toBe(
      'train train.py --instance-type g5.xlarge --name digits --max-cost 5 --ttl 8h --data-s3 s3://b/in/ --output-s3 s3://b/out/ --param lr=0.1 -- --epochs 20'
    );
    expect(notebookLine(wish())).toBe('%runctl train train.py');
    expect(notebookLine(wish({ script: null, ttl: '30m' }))).toBe('%%runctl train --ttl 30m');
  });

  it.each([
    ['my run', `'my run'`],
    [`it's`, `'it'"'"'s'`],
    ['a"b', `'a"b'`],
    ['a;b #c', `'a;b #c'`],
    ['ünder', `'ünder'`]
  ])('quotes %s', (name, word) => {
    expect(launchLine(wish({ name }))).toBe(`train train.py --name ${word}`);
  });

  it('keeps braces and dollars from the magic, and only from it', () => {
    const parameters = [{ name: 'opt', value: '{"lr": {"a": 1}} $lr' }];
    expect(launchLine(wish({ parameters }))).toBe(
      `train train.py --param 'opt={"lr": {"a": 1}} $lr'`
    );
    expect(notebookLine(wish({ parameters }))).toBe(
      `%runctl train train.py --param 'opt={{"lr": {"a": 1}}} $$lr'`
    );
  });
});

describe('the most it can cost', () => {
  it.each([
    [0.5, '8h', '', '$0.500/h · at most $4.00, in 8 h'],
    [0.5, '8h', '1', '$0.500/h · at most $1.00, its cap'],
    [0.5, '8h', '9', '$0.500/h · at most $4.00, in 8 h'],
    [null, '', '5', 'At most $5.00, its cap'],
    [null, '2h', '', 'Ends after 2 h'],
    [0.5, '', '', '$0.500/h · ends after 8 h, unless the settings say otherwise']
  ])('at %s for %s with cap %s', (price, ttl, cap, text) => {
    expect(mostText(price, ttl, cap)).toBe(text);
  });

  it('reads durations as the grammar does', () => {
    expect(['90s', '30m', '1.5h', '2d', '0h', '8', 'h', '1w'].map(secondsOf)).toEqual([
      90,
      1800,
      5400,
      172_800,
      null,
      null,
      null,
      null
    ]);
  });
});

describe('addresses', () => {
  it('are taken apart', () => {
    expect(crumbs('s3://b/jobs/x/')).toEqual([
      { name: 'b', uri: 's3://b/' },
      { name: 'jobs', uri: 's3://b/jobs/' },
      { name: 'x', uri: 's3://b/jobs/x/' }
    ]);
    expect(jobOfFolder('s3://b/runctl/jobs/7k2f/checkpoints/')).toBe('7k2f');
    expect(jobOfFolder('s3://b/runctl/jobs/7k2f/')).toBeNull();
  });
});
