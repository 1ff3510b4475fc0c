import type uPlot from 'uplot';

import type { Area } from './area';
import { clampToFloor, logRange } from './logScale';
import type { Line } from './lines';
import type { XKind } from './placement';
import {
  STEP_DISTANCES,
  TIME_DISTANCES,
  logTick,
  logTicks,
  stepTick,
  timeTick,
  valueTicks
} from './ticks';
import { sizeText } from '../ui/format';
import type { Theme } from './useTheme';

/** The library: loaded when the first chart is drawn. */
export type Plotter = typeof uPlot;

/** What values of a chart count. */
export type Unit = 'number' | 'percent' | 'bytes';

/** All that needs a new plot when it changes; plain data, so that it can be compared. */
export interface Look {
  lines: { color: string; dash: number[]; behind: boolean }[];
  log: boolean;
  kind: XKind;
  unit: Unit;
  /** Fixed ends of the y axis; null where they follow the values. */
  yMin: number | null;
  yMax: number | null;
  height: number;
  theme: Theme;
}

/** Ends of the x axis. */
export type Extent = [min: number, max: number];

/** Room right of the plot for the texts of the y axis, in pixels. */
const Y_AXIS = 48;

// The library declares enums for these, which exist for compilers alone: at run time there are only the numbers, and
// only `Object.assign` may add a number where an enum is declared.
const LINEAR = { distr: 1 };
const LOGARITHMIC = { distr: 3 };
const RIGHT = { side: 1 };

/** Values of every line over all their x, as the plotter wants them: first what lies behind, then the lines. */
export function plotData(
  plotter: Plotter,
  lines: readonly Line[],
  floor: number | null
): uPlot.AlignedData {
  const drawn = (values: (number | null)[]): (number | null)[] =>
    floor === null ? values : clampToFloor(values, floor);
  const tables = [
    ...lines.filter(hasBehind).map(line => [line.xs, drawn(line.values)]),
    ...lines.map(line => [line.xs, drawn(line.ys)])
  ] as uPlot.AlignedData[];
  return tables.length > 0 ? plotter.join(tables) : [[]];
}

/** Whether what was measured is drawn behind a line that is not it. */
export function hasBehind(line: Line): boolean {
  return line.ys !== line.values;
}

/** Indices of points without a neighbour: a line does not show them. Undefined is no gap, null is. */
export function isolated(values: ArrayLike<number | null | undefined>): number[] {
  if (values.length > 1 && !Array.prototype.includes.call(values, null)) {
    // Nearly always, and at every redraw: no gap, and more than one point.
    const last = values[values.length - 1];
    const first = values[0];
    if (first !== undefined && last !== undefined) {
      return [];
    }
  }
  const found: number[] = [];
  let before: number | null = null;
  let candidate = -1;
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    if (value === undefined) {
      continue;
    }
    if (value !== null && before === null) {
      candidate = index;
    } else if (value !== null) {
      candidate = -1;
    } else if (candidate >= 0) {
      found.push(candidate);
      candidate = -1;
    }
    before = value;
  }
  return candidate >= 0 ? [...found, candidate] : found;
}

function tickTexts(unit: Unit, ticks: readonly number[]): string[] {
  if (unit === 'bytes') {
    return ticks.map(tick => sizeText(tick).replace('.0 ', ' '));
  }
  const texts = valueTicks(ticks);
  return unit === 'percent' ? texts.map(text => `${text} %`) : texts;
}

/** Options of a plot that looks like this. It has neither legend nor cursor of its own: those are elements over it. */
export function plotOptions(
  plotter: Plotter,
  look: Look,
  extent: () => Extent,
  onDraw: (area: Area) => void
): uPlot.Options {
  const font = `11px ${look.theme.font}`;
  const quiet = { font, stroke: look.theme.text, ticks: { show: false } };
  const grid = { stroke: look.theme.grid, width: 1 };
  const behind: uPlot.Series[] = look.lines
    .filter(line => line.behind)
    .map(line => ({ stroke: line.color, width: 1, alpha: 0.3, points: { show: false } }));
  const front: uPlot.Series[] = look.lines.map(line => ({
    stroke: line.color,
    width: 1.5,
    dash: line.dash,
    points: {
      show: (plot, index) => isolated(plot.data[index] ?? []).length > 0,
      size: 5,
      width: 0,
      fill: line.color,
      filter: (plot, index) => isolated(plot.data[index] ?? [])
    }
  }));
  const yScale: uPlot.Scale = { range: (_, min, max) => yRange(plotter, look, min, max) };
  const yAxis: uPlot.Axis = {
    ...quiet,
    scale: 'y',
    size: Y_AXIS,
    gap: 6,
    space: 24,
    grid,
    ...(look.log
      ? {
          splits: (plot, _axis, min, max) =>
            logTicks(min, max, Math.max(2, Math.floor(plot.height / 28))),
          filter: (_, ticks) => ticks,
          values: (_, ticks) => ticks.map(logTick)
        }
      : { values: (_, ticks) => tickTexts(look.unit, ticks) })
  };
  return {
    width: 320,
    height: look.height,
    padding: [8, 0, 0, 8],
    legend: { show: false },
    cursor: { show: false },
    scales: {
      x: { time: false, range: extent },
      y: Object.assign(yScale, look.log ? LOGARITHMIC : LINEAR)
    },
    axes: [
      {
        ...quiet,
        size: 22,
        gap: 6,
        space: look.kind === 'step' ? 64 : 80,
        incrs: look.kind === 'step' ? STEP_DISTANCES : TIME_DISTANCES,
        values: (_, ticks) => ticks.map(look.kind === 'step' ? stepTick : timeTick),
        grid: { show: false }
      },
      Object.assign(yAxis, RIGHT)
    ],
    series: [{}, ...behind, ...front],
    hooks: {
      draw: [
        plot => {
          onDraw(areaOf(plot, plotter.pxRatio, look.log));
        }
      ]
    }
  };
}

function yRange(
  plotter: Plotter,
  look: Look,
  min: number | null,
  max: number | null
): uPlot.Range.MinMax {
  if (min === null || max === null) {
    return [look.log ? 0.1 : (look.yMin ?? 0), look.yMax ?? 1];
  }
  const [low, high] = look.log ? logRange(min, max) : plotter.rangeNum(min, max, 0.1, true);
  return [look.yMin ?? low, look.yMax ?? high];
}

function areaOf(plot: uPlot, ratio: number, log: boolean): Area {
  const { x, y } = plot.scales;
  return {
    left: plot.bbox.left / ratio,
    top: plot.bbox.top / ratio,
    width: plot.bbox.width / ratio,
    height: plot.bbox.height / ratio,
    xMin: x?.min ?? 0,
    xMax: x?.max ?? 0,
    yMin: y?.min ?? 0,
    yMax: y?.max ?? 0,
    log
  };
}
