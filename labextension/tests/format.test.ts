import { describe, expect, it } from 'vitest';

import { moneyText } from '../src/ui/format';

describe('moneyText', () => {
  // The same cases as in tests/unit/orchestration/test_units.py: all doors write one amount alike.
  it.each([
    [null, 'unknown'],
    [0, '$0.00'],
    [0.0004, '$0.0004'],
    [0.0321, '$0.032'],
    [0.0994, '$0.099'],
    [0.0996, '$0.10'],
    [0.44, '$0.44'],
    [0.999, '$1.00'],
    [5, '$5.00'],
    [999.999, '$1,000.00'],
    [12_500, '$12,500.00'],
    [1_234_567.891, '$1,234,567.89']
  ])('writes %s as %s', (usd, text) => {
    expect(moneyText(usd)).toBe(text);
  });
});
