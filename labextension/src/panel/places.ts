/** Addresses in a bucket. */

/** An address as that of a folder. */
export function folderUri(uri: string): string {
  return uri.endsWith('/') ? uri : `${uri}/`;
}

/** Where a job's checkpoints lie, below the root of the record. */
export function checkpointsUri(root: string, job: string): string {
  return `${folderUri(root)}jobs/${job}/checkpoints/`;
}

/** The job whose checkpoint folder this is, if it is one. */
export function jobOfFolder(uri: string): string | null {
  return /\/jobs\/([^/]+)\/checkpoints\/$/.exec(uri)?.[1] ?? null;
}

/** The parts of an address, each with its own: the bucket first. */
export function crumbs(uri: string): { name: string; uri: string }[] {
  const [bucket = '', ...rest] = uri.replace(/^s3:\/\//, '').split('/');
  let at = `s3://${bucket}/`;
  const parts = [{ name: bucket, uri: at }];
  for (const name of rest.filter(part => part !== '')) {
    at = `${at}${name}/`;
    parts.push({ name, uri: at });
  }
  return parts;
}
