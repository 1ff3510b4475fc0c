/** What the launch form asks for, as a line of the grammar. */
import { literal, quoted } from '../ui/words';

/** A `--param`. */
export interface Parameter {
  name: string;
  value: string;
}

/** What is to run, and where. Texts are as typed; an empty one is left out. */
export interface Wish {
  /** Path of the script; null for the cell below the line. */
  script: string | null;
  /** The script's own words, quoted by whoever typed them. */
  words: string;
  instanceType: string;
  name: string;
  maxCost: string;
  ttl: string;
  dataS3: string;
  outputS3: string;
  parameters: Parameter[];
}

/** The line without `%runctl`, as the action `launch` takes it. */
export function launchLine(wish: Wish): string {
  const options: [string, string][] = [
    ['--instance-type', wish.instanceType],
    ['--name', wish.name],
    ['--max-cost', wish.maxCost],
    ['--ttl', wish.ttl],
    ['--data-s3', wish.dataS3],
    ['--output-s3', wish.outputS3],
    ...wish.parameters
      .filter(({ name }) => name.trim() !== '')
      .map(({ name, value }): [string, string] => ['--param', `${name.trim()}=${value}`])
  ];
  const script = wish.script?.trim() ?? '';
  const words = wish.words.trim();
  return [
    'train',
    ...(script === '' ? [] : [quoted(script)]),
    ...options
      .filter(([, value]) => value.trim() !== '')
      .map(([flag, value]) => `${flag} ${quoted(value.trim())}`),
    ...(words === '' ? [] : ['--', words])
  ].join(' ');
}

/** The same for a notebook: a line, or the first line of a cell. */
export function notebookLine(wish: Wish): string {
  const magic = wish.script === null ? '%%runctl' : '%runctl';
  return `${magic} ${literal(launchLine(wish))}`;
}
