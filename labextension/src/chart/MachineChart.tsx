import type { JSX } from 'react';
import { useMemo, useRef, useState } from 'react';

import type { MachineSeries } from '../api/documents';
import { Chart, extentOf } from './Chart';
import type { Group } from './lines';
import { colourOf } from './palette';
import type { Unit } from './plotOptions';
import { useTheme } from './useTheme';

interface Panel {
  group: Group;
  unit: Unit;
  yMax: number | null;
}

/** How busy the machine was: processor, memory, GPUs, over the job's life. */
export function MachineChart(props: { series: MachineSeries | null }): JSX.Element {
  const { series } = props;
  const root = useRef<HTMLDivElement>(null);
  const theme = useTheme(root);
  const [cursor, setCursor] = useState<number | null>(null);
  const panels = useMemo(
    () => (series === null ? [] : panelsOf(series, theme.dark)),
    [series, theme.dark]
  );
  const extent = extentOf(
    panels.map(panel => panel.group),
    []
  );
  return (
    <div ref={root} className="rc-Metrics">
      {panels.length === 0 && (
        <div className="rc-Empty">
          No readings of the machine yet. They come every few seconds while the script runs.
        </div>
      )}
      <div className="rc-Metrics-grid">
        {panels.map(panel => (
          <Chart
            key={panel.group.title}
            small
            group={panel.group}
            extent={extent}
            kind="time"
            unit={panel.unit}
            yMin={0}
            yMax={panel.yMax}
            theme={theme}
            cursor={cursor}
            onCursor={setCursor}
          />
        ))}
      </div>
    </div>
  );
}

function panelsOf(series: MachineSeries, dark: boolean): Panel[] {
  const origin = series.times[0] ?? 0;
  const xs = series.times.map(time => time - origin);
  const panel = (
    index: number,
    title: string,
    values: (number | null)[],
    unit: Unit,
    yMax: number | null
  ): Panel => ({
    group: {
      title,
      floor: null,
      lines: [
        {
          key: title,
          name: title,
          of: '',
          color: colourOf(index, dark),
          dash: [],
          xs,
          ys: values,
          values
        }
      ]
    },
    unit,
    yMax
  });
  return [
    // Of one core: 400 % when four are busy.
    panel(0, 'CPU', series.cpu_percent, 'percent', null),
    panel(1, 'memory', series.memory_used, 'bytes', series.memory_total),
    panel(2, 'GPU', series.gpu_percent, 'percent', 100),
    panel(3, 'GPU memory', series.gpu_memory_used, 'bytes', series.gpu_memory_total)
  ].filter(each => each.group.lines.some(line => line.values.some(value => value !== null)));
}
