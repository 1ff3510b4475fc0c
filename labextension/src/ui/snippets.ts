/** Lines of the grammar and code that a view puts into a cell or the clipboard. */
import type { CheckpointDocument, JobDocument } from '../api/documents';
import { literal, quoted } from './words';

/** `text` as one word of a line in a cell. */
export function wordOf(text: string): string {
  return literal(quoted(text));
}

/** `text` as a Python literal: JSON's strings are Python's. */
export function pythonText(text: string): string {
  return JSON.stringify(text);
}

/** The line that copies an object or a folder here. */
export function downloadLine(uri: string): string {
  const folder = uri.endsWith('/');
  return folder
    ? `%runctl s3 download -r ${wordOf(uri)} ${wordOf(nameOf(uri))}`
    : `%runctl s3 download ${wordOf(uri)} .`;
}

/** The last part of an address. */
export function nameOf(uri: string): string {
  return uri.replace(/\/+$/, '').split('/').at(-1) ?? uri;
}

/** Code that fetches an object and loads it into a variable, as far as its name says how; never unpickles freely. */
export function loadCode(uri: string): string {
  const line = downloadLine(uri);
  if (uri.endsWith('/')) {
    return line;
  }
  const name = nameOf(uri);
  const file = pythonText(name);
  const loads: [RegExp, string][] = [
    [/\.safetensors$/i, `from safetensors.torch import load_file\nstate = load_file(${file})`],
    [
      /\.(pt|pth|ckpt|bin)$/i,
      `import torch\nstate = torch.load(${file}, map_location="cpu", weights_only=True)`
    ],
    [/\.np[yz]$/i, `import numpy as np\nstate = np.load(${file}, allow_pickle=False)`],
    [/\.json$/i, `import json\nwith open(${file}) as file:\n    state = json.load(file)`]
  ];
  const load = loads.find(([ends]) => ends.test(name))?.[1];
  return load === undefined ? line : `${line}\n${load}`;
}

/** The first line of a cell that begins a new job at a checkpoint. */
export function forkCode(checkpoint: CheckpointDocument): string {
  return `%%runctl train --resume ${wordOf(checkpoint.uri)}\n`;
}

/** The line that goes on with a job, from its newest checkpoint or from this one. */
export function resumeLine(job: JobDocument, checkpoint?: CheckpointDocument): string {
  const from = checkpoint === undefined ? '' : ` --from ${wordOf(checkpoint.uri)}`;
  return `%runctl resume ${job.id}${from}`;
}
