/** Parts of a name that say on which data it was measured, not what was. */
const SPLITS = new Set(
  'train training tr val valid validation dev eval evaluation test testing'.split(' ')
);
const VALIDATION = new Set('val valid validation dev eval evaluation test testing'.split(' '));
const LOSSES = new Set('loss losses nll objective'.split(' '));
/** What the run is like rather than what it learns: it comes last. */
const ASIDE = new Set(
  'lr rate epoch time sec secs second seconds speed throughput samples tokens it img fps eta'.split(
    ' '
  )
);

function parts(name: string): string[] {
  return name
    .replace(/([a-z\d])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z\d]+/)
    .filter(part => part !== '');
}

/** Whether a metric is measured on data that is not trained on. */
export function isValidation(name: string): boolean {
  return parts(name).some(part => VALIDATION.has(part));
}

function isLoss(name: string): boolean {
  return parts(name).some(part => LOSSES.has(part) || part.endsWith('loss'));
}

/** A metric's name without the data it was measured on: `val/acc` and `train_acc` are both `acc`. */
export function baseOf(name: string): string {
  const rest = parts(name).filter(part => !SPLITS.has(part));
  return rest.length > 0 ? rest.join(' ') : name;
}

/** How many times larger one loss may be than another to be read on the same axis. */
const COMPARABLE = 30;

/**
 * The chart of each metric: one for each thing that is measured, and one for all losses together, as far as their
 * sizes allow. `sizeOf` is to be a size that stays, e.g. that of the first value: charts are not to change while one
 * looks at them.
 */
export function familiesOf(
  names: readonly string[],
  sizeOf: (name: string) => number | null
): Map<string, string> {
  const charts: { title: string; size: number | null }[] = [];
  const chartOfBase = new Map<string, string>();
  const found = new Map<string, string>();
  for (const name of names) {
    const base = baseOf(name);
    let title = chartOfBase.get(base);
    if (title === undefined && isLoss(name)) {
      const size = sizeOf(name);
      title = charts.find(chart => comparable(chart.size, size))?.title;
      if (title === undefined) {
        title = charts.length === 0 ? 'loss' : base;
        charts.push({ title, size });
      }
    }
    title ??= base;
    chartOfBase.set(base, title);
    found.set(name, title);
  }
  return found;
}

function comparable(one: number | null, other: number | null): boolean {
  return one === null || other === null || (one <= other * COMPARABLE && other <= one * COMPARABLE);
}

function rank(name: string): number {
  if (isLoss(name)) {
    return 0;
  }
  return parts(name).some(part => ASIDE.has(part)) ? 2 : 1;
}

/** Names in the order of charts: losses, what else is learnt, how the run goes; what is the same thing together. */
export function ordered(names: readonly string[]): string[] {
  const places = new Map<string, number>();
  const known = [...new Set(names)].map(name => {
    const base = baseOf(name);
    const place = places.get(base) ?? places.size;
    places.set(base, place);
    return { name, rank: rank(name), place };
  });
  // A sort keeps the order of what it finds equal.
  known.sort((one, other) => one.rank - other.rank || one.place - other.place);
  return known.map(each => each.name);
}

/** How many series are shown unless somebody asks for more. */
export const SHOWN_AT_FIRST = 6;

/** Which of the ordered names are shown: the first ones, but for what has been chosen by hand. */
export function shownNames(
  names: readonly string[],
  chosen: ReadonlyMap<string, boolean>
): Set<string> {
  return new Set(names.filter((name, index) => chosen.get(name) ?? index < SHOWN_AT_FIRST));
}
