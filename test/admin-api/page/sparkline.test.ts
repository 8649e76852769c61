import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';

interface Sparkline {
  line: string;
  area: string;
  gaps: [number, number][];
  low: number | undefined;
  high: number | undefined;
}
/** The page's own module, loaded without types. */
const { sparkline } = (await import(new URL('../../../admin-api/page/sparkline.js', import.meta.url).href)) as {
  sparkline: (list: readonly [number, number][], now: number) => Sparkline;
};

const NOW = Date.parse('2026-11-28T10:00:00Z');
const every = (seconds: number, from: number, to: number, rate = 70): [number, number][] =>
  Array.from({ length: Math.floor((to - from) / seconds) + 1 }, (_, index) => [NOW + (from + index * seconds) * 1000, rate]);
const pieces = (line: string): number => line.split('M').length - 1;

test('a steady strap is one line without gaps', () => {
  const drawn = sparkline(every(1, -300, 0), NOW);
  assert.equal(pieces(drawn.line), 1);
  assert.deepEqual(drawn.gaps, []);
  assert.deepEqual([drawn.low, drawn.high], [70, 70]);
});

test('a silence stays open in the line and is shaded from its last reading to its next', () => {
  const drawn = sparkline([...every(1, -300, -200), ...every(1, -180, 0)], NOW);
  assert.equal(pieces(drawn.line), 2);
  assert.deepEqual(drawn.gaps, [[400, 420]]);
});

test('an ongoing silence is shaded up to now', () => {
  assert.deepEqual(sparkline(every(1, -300, -60), NOW).gaps, [[540, 600]]);
});

test('readings older than ten minutes are not drawn', () => {
  assert.deepEqual(sparkline(every(1, -900, -601), NOW), { line: '', area: '', gaps: [], low: undefined, high: undefined });
});

test('any readings are drawn inside the picture', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: -900_000, max: 5000 }), fc.integer({ min: 1, max: 65_535 })), { maxLength: 50 }),
      (points) => {
        const list = points.sort(([a], [b]) => a - b).map(([at, rate]): [number, number] => [NOW + at, rate]);
        const { line, gaps } = sparkline(list, NOW);
        for (const [, x = '', y = ''] of line.matchAll(/[ML](\S+) ([^ML]+)/g))
          assert.ok(Number(x) >= 0 && Number(x) <= 600 && Number(y) >= 0 && Number(y) <= 100, `${x} ${y}`);
        for (const [from, to] of gaps) assert.ok(from >= 0 && from <= to && to <= 600);
      },
    ),
  );
});
