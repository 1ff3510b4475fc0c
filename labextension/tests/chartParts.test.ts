import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Series, SeriesDocument } from '../src/api/documents';
import type { Area } from '../src/chart/area';
import { crowds, xAtPixel, xPixel, yPixel } from '../src/chart/area';
import { baseOf, familiesOf, isValidation, ordered, shownNames } from '../src/chart/families';
import { groupsOf } from '../src/chart/lines';
import { clampToFloor, logFloor, logRange } from '../src/chart/logScale';
import { heightAt, nearestIndex, readingAt } from '../src/chart/nearest';
import { paced } from '../src/chart/paced';
import { COLOURS, colourOf, dashOf, luminance } from '../src/chart/palette';
import { placementOf } from '../src/chart/placement';
import { isolated } from '../src/chart/plotOptions';
import { valueText } from '../src/chart/reading';
import { smooth } from '../src/chart/smooth';
import { summaryOf } from '../src/chart/Summary';
import { logTick, logTicks, stepTick, timeTick, valueTicks } from '../src/chart/ticks';

function series(name: string, steps: (number | null)[], values: (number | null)[]): Series {
  return { name, steps, times: steps.map((_, index) => 1000 + index), values, source: 'log' };
}

function document(...all: Series[]): SeriesDocument {
  return { series: all, machine: null, marks: [] };
}

const RESUMED = { time: 1002, step: 20, kind: 'interrupted' as const, text: 'spot' };

describe('smooth', () => {
  it('begins at the first value, keeps gaps and a constant', () => {
    const [first, gap, ...rest] = smooth([4, null, 4, 4], 0.9);
    expect([first, gap]).toEqual([4, null]);
    expect(rest).toEqual([expect.closeTo(4), expect.closeTo(4)]);
    expect(smooth([1, 3], 0)).toEqual([1, 3]);
  });

  it('lies between what was and what is, nearer to what was with more weight', () => {
    const [, light] = smooth([0, 1], 0.1);
    const [, heavy] = smooth([0, 1], 0.99);
    expect(light).toBeGreaterThan(heavy ?? 0);
    expect(heavy).toBeGreaterThan(0);
  });
});

describe('finding points', () => {
  it('finds the nearest', () => {
    expect(nearestIndex([], 3)).toBe(-1);
    expect(nearestIndex([0, 10, 20], -5)).toBe(0);
    expect(nearestIndex([0, 10, 20], 14)).toBe(1);
    expect(nearestIndex([0, 10, 20], 16)).toBe(2);
    expect(nearestIndex([0, 10, 20], 99)).toBe(2);
  });

  it('reads the height of a line between, at and beyond its points', () => {
    expect(heightAt([0, 10], [1, 3], 5)).toBe(2);
    expect(heightAt([0, 10], [1, 3], 10)).toBe(3);
    expect(heightAt([0, 10], [1, 3], 40)).toBe(3);
    expect(heightAt([0, 10], [1, 3], -4)).toBe(1);
    expect(heightAt([0, 10], [null, 3], 5)).toBe(3);
    expect(heightAt([], [], 5)).toBeNull();
  });

  it('reads a sparse line far from its points, and no line where it has ended', () => {
    expect(readingAt([0, 100, 200], 149)).toBe(1);
    expect(readingAt([0, 1, 2], 40)).toBe(-1);
    expect(readingAt([], 1)).toBe(-1);
  });
});

describe('a logarithmic axis', () => {
  it('has a floor for what has no logarithm', () => {
    expect(logFloor([[1, 0.02, 0], [null]])).toBe(0.001);
    expect(logFloor([[1, 0.02]])).toBe(0.02);
    expect(logFloor([[0, -1, null]])).toBeNull();
    expect(clampToFloor([1, 0, -3, null], 0.1)).toEqual([1, 0.1, 0.1, null]);
  });

  it('leaves room around its values, also around a single one', () => {
    const [low, high] = logRange(5, 5);
    expect(low).toBeLessThan(5);
    expect(high).toBeGreaterThan(5);
  });

  it('has ticks of its own however far it goes', () => {
    expect(logTicks(0.001, 1000, 8)).toEqual([0.001, 0.01, 0.1, 1, 10, 100, 1000]);
    expect(logTicks(1, 100, 8)).toEqual([1, 2, 5, 10, 20, 50, 100]);
    expect(logTicks(10, 12, 5).length).toBeGreaterThan(2);
    expect(logTicks(1e-12, 1e12, 5).length).toBeLessThanOrEqual(5);
    expect(logTicks(0, 1, 5)).toEqual([]);
  });
});

describe('texts of ticks', () => {
  it('have as many digits as tell them apart', () => {
    expect(valueTicks([0, 0.25, 0.5])).toEqual(['0.00', '0.25', '0.50']);
    expect(valueTicks([0, 50, 100])).toEqual(['0', '50', '100']);
    expect(valueTicks([1e-4, 1.5e-4, 2e-4])).toEqual(['1.0e-4', '1.5e-4', '2.0e-4']);
    expect(valueTicks([0, 1e6, 2e6])).toEqual(['0', '1e+6', '2e+6']);
    expect(valueTicks([0])).toEqual(['0']);
  });

  it('of steps, times and decades', () => {
    expect([stepTick(6100), stepTick(1_500_000)]).toEqual(['6,100', '1.5M']);
    expect([timeTick(4200), timeTick(-5)]).toEqual(['1 h 10 m', '-5 s']);
    expect([logTick(0.01), logTick(1e-4), logTick(50)]).toEqual(['0.01', '1e-4', '50']);
  });

  it('and of values, with their unit', () => {
    expect(valueText(null, 'number')).toBe('–');
    expect(valueText(0.000046157, 'number')).toBe('4.616e-5');
    expect(valueText(0, 'number')).toBe('0');
    expect(valueText(18.1e9, 'bytes')).toBe('18.1 GB');
    expect(valueText(93.2, 'percent')).toBe('93 %');
  });
});

describe('families', () => {
  it('put the same thing on different data together', () => {
    expect(['train/acc', 'val_acc', 'valAcc', 'Test-Acc'].map(baseOf)).toEqual(
      Array(4).fill('acc')
    );
    expect(baseOf('train')).toBe('train');
    expect([isValidation('eval/loss'), isValidation('value_loss')]).toEqual([true, false]);
  });

  it('order losses first and the pace of the run last', () => {
    expect(ordered(['lr', 'train_acc', 'train_loss', 'val_acc', 'val_loss', 'lr'])).toEqual([
      'train_loss',
      'val_loss',
      'train_acc',
      'val_acc',
      'lr'
    ]);
  });

  it('put losses together as far as their sizes allow', () => {
    const sizes: Record<string, number> = { loss: 2, box_loss: 0.5, kl_loss: 1e-5, val_loss: 900 };
    const families = familiesOf(Object.keys(sizes), name => sizes[name] ?? null);
    expect([...families.values()]).toEqual(['loss', 'loss', 'kl loss', 'loss']);
  });

  it('show six unless told otherwise', () => {
    const names = Array.from({ length: 20 }, (_, index) => `m${String(index)}`);
    expect(shownNames(names, new Map()).size).toBe(6);
    const chosen = shownNames(
      names,
      new Map([
        ['m0', false],
        ['m19', true]
      ])
    );
    expect([chosen.has('m0'), chosen.has('m19'), chosen.size]).toEqual([false, true, 6]);
  });
});

describe('places on the x axis', () => {
  it('let a resumed attempt replace the steps that it repeats', () => {
    const loss = series('loss', [0, 10, 20, 10, 20, 30], [6, 5, 4, 51, 41, 3]);
    const placement = placementOf({ ...document(loss), marks: [RESUMED] });
    expect(placement.series(loss, 'step')).toEqual({
      xs: [0, 10, 20, 30],
      values: [6, 51, 41, 3]
    });
  });

  it('do not take steps that begin anew at each epoch', () => {
    const loss = series('loss', [0, 1, 2, 0, 1, 2], [6, 5, 4, 3, 2, 1]);
    const placement = placementOf(document(loss));
    expect(placement.hasSteps).toBe(false);
    expect(placement.series(loss, 'step')).toEqual({ xs: [1, 2, 3, 4, 5, 6], values: loss.values });
    expect(placement.moment(1003, 1, 'step')).toBeNull();
  });

  it('put a line without steps where the job was at that time', () => {
    const loss = series('loss', [0, 10, 20, 30], [4, 3, 2, 1]);
    const accuracy = { ...series('acc', [null, null], [0.5, 0.9]), times: [1000.5, 1003] };
    const placement = placementOf(document(loss, accuracy));
    expect(placement.series(accuracy, 'step')).toEqual({ xs: [5, 30], values: [0.5, 0.9] });
    expect(placement.moment(1001.5, null, 'step')).toBe(15);
    expect(placement.moment(1001.5, 7, 'step')).toBe(7);
  });

  it('count time from the first reading, in order, gaps kept', () => {
    const loss = { ...series('loss', [0, 1, 2], [3, null, 1]), times: [1000, 1004, 1002] };
    const placement = placementOf(document(loss));
    expect(placement.series(loss, 'time')).toEqual({ xs: [0, 2, 4], values: [3, 1, null] });
    expect(placement.moment(1003, null, 'time')).toBe(3);
  });

  it('share the x of series that were printed together', () => {
    const one = series('a', [0, 1], [1, 2]);
    const other = series('b', [0, 1], [3, 4]);
    const placement = placementOf(document(one, other));
    expect(placement.series(one, 'step').xs).toBe(placement.series(other, 'step').xs);
  });
});

describe('lines', () => {
  const of = (id: string, ...all: Series[]): Parameters<typeof groupsOf>[0][number] => ({
    id,
    name: id,
    document: document(...all),
    placement: placementOf(document(...all))
  });
  const view = { kind: 'step' as const, log: false, smoothing: 0 };
  const train = series('train_loss', [0, 1, 2, 3], [4, 3, 2, 1]);
  const val = series('val_loss', [0, 3], [5, 2]);

  it('all differ by dash; a colour is a series, with several jobs a job', () => {
    const [one] = groupsOf([of('a', train, val)], ['train_loss', 'val_loss'], view, false);
    expect(new Set(one?.lines.map(line => line.color)).size).toBe(2);
    const [two] = groupsOf(
      [of('a', train, val), of('b', train, val)],
      ['train_loss', 'val_loss'],
      view,
      false
    );
    expect(new Set(two?.lines.map(line => line.color)).size).toBe(2);
    expect(new Set(two?.lines.map(line => line.dash.join())).size).toBe(4);
    expect(two?.lines.map(line => line.of)).toEqual(['a', 'a', 'b', 'b']);
  });

  it('smooth all over the same stretch of the job: few values stay near where they are', () => {
    const long = Array.from({ length: 600 }, (_, index) => index);
    const [group] = groupsOf(
      [
        of(
          'a',
          series(
            'train_loss',
            long,
            long.map(each => 2 - each / 600)
          ),
          val
        )
      ],
      ['train_loss', 'val_loss'],
      { ...view, smoothing: 0.9 },
      false
    );
    expect(group?.lines[1]?.ys[1]).toBeCloseTo(2, 6);
    expect(group?.lines[0]?.ys[300]).toBeGreaterThan(1.5);
  });

  it('stay on a linear axis where nothing is above zero', () => {
    const [group] = groupsOf(
      [of('a', series('loss', [0, 1], [-1, -2]))],
      ['loss'],
      { ...view, log: true },
      false
    );
    expect(group?.floor).toBeNull();
  });
});

describe('what lies over a plot', () => {
  const area: Area = {
    left: 0,
    top: 0,
    width: 200,
    height: 100,
    xMin: 0,
    xMax: 50,
    yMin: 0.01,
    yMax: 1,
    log: true
  };

  it('is where the plot has it', () => {
    expect([xPixel(area, 25), xAtPixel(area, 100)]).toEqual([100, 25]);
    expect(yPixel(area, 0.1)).toBeCloseTo(50);
    expect([yPixel(area, 0), yPixel(area, 9)]).toEqual([100, 0]);
    expect(yPixel({ ...area, log: false, yMin: 0 }, 0.25)).toBe(75);
  });

  it('gathers what is too near to be hit, and stands where the last is', () => {
    const pixels = [0, 5, 23, 60, 61].map(pixel => ({ pixel }));
    expect(crowds(pixels, 24).map(crowd => [crowd.last.pixel, crowd.count])).toEqual([
      [23, 3],
      [61, 2]
    ]);
    const many = crowds(
      Array.from({ length: 1000 }, (_, index) => ({ pixel: index / 5 })),
      24
    );
    expect(many.length).toBeLessThan(10);
    expect(many.reduce((sum, crowd) => sum + crowd.count, 0)).toBe(1000);
  });

  it('knows points that no line shows', () => {
    expect(isolated([1])).toEqual([0]);
    expect(isolated([1, 2, null, 3, null])).toEqual([3]);
    expect(isolated([1, undefined, 2])).toEqual([]);
    expect(isolated([undefined, 1, undefined])).toEqual([1]);
    expect(isolated([null, 1, undefined, null])).toEqual([1]);
  });

  it('sums up a line', () => {
    expect(summaryOf([3, null, 1, 2])).toEqual({ count: 3, last: 2, least: 1, most: 3 });
    expect(summaryOf([null])).toEqual({ count: 0, last: null, least: null, most: null });
  });
});

describe('colours', () => {
  it.each([
    ['#ffffff', false],
    ['#212121', true],
    ['#111111', true]
  ])('are seen on %s', (ground, dark) => {
    const below = luminance(ground) ?? 0;
    for (let index = 0; index < COLOURS; index++) {
      const above = luminance(colourOf(index, dark)) ?? 0;
      const contrast = (Math.max(above, below) + 0.05) / (Math.min(above, below) + 0.05);
      expect(contrast, colourOf(index, dark)).toBeGreaterThanOrEqual(3);
    }
  });

  it('and dashes come together again only after all pairs', () => {
    const looks = Array.from(
      { length: 36 },
      (_, index) => `${colourOf(index, false)} ${dashOf(index).join()}`
    );
    expect(new Set(looks).size).toBe(36);
  });

  it('are read as browsers write them', () => {
    expect(luminance('rgba(255, 255, 255, 0.87)')).toBeCloseTo(1);
    expect(luminance('rgb(0 0 0 / 1)')).toBe(0);
    expect(luminance('red')).toBeNull();
  });
});

describe('paced', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('lets the first through at once and of the others the last', () => {
    const got: number[] = [];
    const pace = paced<number>(value => got.push(value), 500);
    pace.give(1);
    pace.give(2);
    pace.give(3);
    expect(got).toEqual([1]);
    vi.advanceTimersByTime(500);
    expect(got).toEqual([1, 3]);
    pace.give(4);
    pace.stop();
    vi.advanceTimersByTime(5000);
    expect(got).toEqual([1, 3]);
  });
});
