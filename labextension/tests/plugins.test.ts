import { describe, expect, it } from 'vitest';

import type { Rows } from '../src/api/backend';
import { ActiveRows } from '../src/plugins/activeRows';
import { JobNews } from '../src/plugins/jobNews';
import { FakeBackend } from './fakeBackend';
import { instance, job } from './samples';

function rows<T>(...changed: T[]): Rows<T> {
  return { reset: false, rows: changed, removed: [] };
}

describe('JobNews', () => {
  it('tells no old stories', () => {
    const news = new JobNews();
    expect(news.take({ reset: true, rows: [job({ state: 'failed' })], removed: [] })).toEqual([]);
    expect(news.take({ reset: true, rows: [job({ state: 'failed' })], removed: [] })).toEqual([]);
  });

  it('tells once of a job that fails, with its cause', () => {
    const news = new JobNews();
    news.take({ reset: true, rows: [job()], removed: [] });
    const failed = job({
      state: 'failed',
      cause: { kind: 'cuda-out-of-memory', message: 'CUDA out of memory', signal: null }
    });
    const told = news.take(rows(failed));
    expect(told.map(each => each.text)).toEqual(['resnet-lr3e-4 failed: CUDA out of memory']);
    expect(told[0]?.grave).toBe(true);
    expect(news.take(rows(failed))).toEqual([]);
  });

  it('tells of a job that began and was interrupted between two looks', () => {
    const news = new JobNews();
    news.take({ reset: true, rows: [], removed: [] });
    expect(news.take(rows(job({ state: 'interrupted' })))).toHaveLength(1);
  });

  it('is silent about good ends', () => {
    const news = new JobNews();
    news.take({ reset: true, rows: [job()], removed: [] });
    expect(news.take(rows(job({ state: 'succeeded' }), job({ state: 'cancelled' })))).toEqual([]);
  });

  it('tells again of the next attempt', () => {
    const news = new JobNews();
    news.take({ reset: true, rows: [job({ state: 'interrupted', attempt: 1 })], removed: [] });
    news.take(rows(job({ state: 'running', attempt: 2 })));
    expect(news.take(rows(job({ state: 'interrupted', attempt: 2 })))).toHaveLength(1);
  });
});

describe('ActiveRows', () => {
  it('counts what runs and what is billed', () => {
    const backend = new FakeBackend();
    const active = new ActiveRows(backend);
    let told = 0;
    active.changed.connect(() => (told += 1));
    backend.emit('jobs', {
      reset: true,
      rows: [job(), job({ id: 'b', state: 'failed' })],
      removed: []
    });
    backend.emit('instances', {
      reset: true,
      rows: [
        instance(),
        instance({ id: 'i-2', price_per_hour: 0.37 }),
        instance({ id: 'i-3', state: 'stopped' })
      ],
      removed: []
    });
    expect([active.jobs, active.machines, told]).toEqual([1, 2, 2]);
    expect(active.pricePerHour).toBeCloseTo(1.376);
    backend.emit('instances', { reset: false, rows: [], removed: ['i-2'] });
    backend.emit('jobs', rows(job({ state: 'succeeded' })));
    expect([active.jobs, active.machines]).toEqual([0, 1]);
    active.dispose();
    expect(backend.followed).toEqual([]);
  });

  it('does not make up a sum when a price is unknown', () => {
    const backend = new FakeBackend();
    const active = new ActiveRows(backend);
    backend.emit('instances', {
      reset: true,
      rows: [instance({ price_per_hour: null })],
      removed: []
    });
    expect(active.pricePerHour).toBeNull();
  });
});
