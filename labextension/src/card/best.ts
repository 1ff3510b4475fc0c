import type { CheckpointDocument } from '../api/documents';

/** The best checkpoint, and by which metric. */
export interface Best {
  checkpoint: CheckpointDocument;
  metric: string;
  value: number;
}

const LOWER = /loss|err|perplexity|ppl|rmse|mse|mae|nll|wer|cer|fid/i;
const HIGHER =
  /acc|auc|f1|bleu|rouge|map|iou|dice|r2|score|reward|precision|recall|psnr|ssim|return/i;

/**
 * The checkpoint with the best value of the metric that most of them have and of which is known whether less or more
 * of it is better; null when there is none, or nothing to compare with.
 */
export function bestOf(checkpoints: CheckpointDocument[]): Best | null {
  const counts = new Map<string, number>();
  for (const { metrics } of checkpoints) {
    for (const [name, value] of Object.entries(metrics)) {
      if (Number.isFinite(value) && (LOWER.test(name) || HIGHER.test(name))) {
        counts.set(name, (counts.get(name) ?? 0) + 1);
      }
    }
  }
  // Of equally common ones, what was measured on held-out data says more.
  const rank = (name: string): number =>
    (counts.get(name) ?? 0) + (/val|eval|test/i.test(name) ? 0.5 : 0);
  const metric = [...counts.keys()].sort((a, b) => rank(b) - rank(a))[0];
  if (metric === undefined || (counts.get(metric) ?? 0) < 2) {
    return null;
  }
  const sign = LOWER.test(metric) ? 1 : -1;
  let best: Best | null = null;
  for (const checkpoint of checkpoints) {
    const value = checkpoint.metrics[metric];
    if (
      value !== undefined &&
      Number.isFinite(value) &&
      (best === null || sign * value < sign * best.value)
    ) {
      best = { checkpoint, metric, value };
    }
  }
  return best;
}
