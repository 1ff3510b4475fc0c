import type { JSX, ReactNode } from 'react';
import { useLayoutEffect, useMemo, useRef, useState } from 'react';
import type uPlot from 'uplot';

import { Trouble } from '../ui/Trouble';
import { useWidth } from '../ui/useWidth';
import type { Area } from './area';
import type { Group } from './lines';
import type { Extent, Look, Unit } from './plotOptions';
import { hasBehind, plotData, plotOptions } from './plotOptions';
import type { XKind } from './placement';
import { usePlotter } from './usePlotter';
import { useSame } from './useSame';
import type { Theme } from './useTheme';

/** Lines on a canvas, and what lies over it at places that the canvas tells. */
export function Plot(props: {
  group: Group;
  extent: Extent;
  kind: XKind;
  unit: Unit;
  yMin: number | null;
  yMax: number | null;
  height: number;
  theme: Theme;
  label: string;
  children: (area: Area) => ReactNode;
}): JSX.Element {
  const { group, label } = props;
  const place = useRef<HTMLDivElement>(null);
  const drawn = useRef<uPlot | null>(null);
  const width = useWidth(place);
  const { plotter, failed } = usePlotter();
  const [area, setArea] = useState<Area | null>(null);
  const extent = useSame(props.extent);
  const limits = useRef(extent);
  const look = useSame<Look>({
    lines: group.lines.map(line => ({
      color: line.color,
      dash: line.dash,
      behind: hasBehind(line)
    })),
    log: group.floor !== null,
    kind: props.kind,
    unit: props.unit,
    yMin: props.yMin,
    yMax: props.yMax,
    height: props.height,
    theme: props.theme
  });
  const data = useMemo(
    () => (plotter === null ? null : plotData(plotter, group.lines, group.floor)),
    [plotter, group]
  );

  useLayoutEffect(() => {
    if (plotter === null || place.current === null) {
      return undefined;
    }
    const options = plotOptions(
      plotter,
      look,
      () => limits.current,
      now => {
        setArea(known => (JSON.stringify(known) === JSON.stringify(now) ? known : now));
      }
    );
    const plot = new plotter(options, undefined, place.current);
    plot.ctx.canvas.setAttribute('role', 'img');
    drawn.current = plot;
    return () => {
      drawn.current = null;
      plot.destroy();
    };
  }, [plotter, look]);

  useLayoutEffect(() => {
    if (width !== null) {
      drawn.current?.setSize({ width: Math.floor(width), height: look.height });
    }
  }, [plotter, look, width]);

  useLayoutEffect(() => {
    limits.current = extent;
    if (data !== null) {
      drawn.current?.setData(data);
    }
  }, [plotter, look, data, extent]);

  useLayoutEffect(() => {
    drawn.current?.ctx.canvas.setAttribute('aria-label', label);
  }, [plotter, look, label]);

  return (
    <div className="rc-Plot" style={{ height: props.height }}>
      <div ref={place} className="rc-Plot-canvas" />
      {failed && (
        <Trouble
          error={{
            error: 'chart-not-loaded',
            what: 'The part of the page that draws charts could not be loaded.',
            to_resolve: 'Reload the page.'
          }}
        />
      )}
      {area !== null && props.children(area)}
    </div>
  );
}
