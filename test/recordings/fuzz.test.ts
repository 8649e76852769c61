/** A minute of mutated recordings of every format; 100,000 of each in fuzz.long.test.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FORMATS, fuzzInProcess } from './support/fuzz.ts';

const MINUTE_MS = 60_000;
const MEMORY_MAX_MB = 200;

for (const format of FORMATS)
  test(`${format}: a mutated file is a coded error or a recording that keeps the law of replay, in bounded memory`, async () => {
    const seed = Math.floor(Math.random() * 1e9);
    const { files, read, refused, memoryMb, slowestMs } = await fuzzInProcess(
      format,
      { files: Infinity, ms: MINUTE_MS / FORMATS.length },
      seed,
    );
    const sizes = `${Math.round(memoryMb)} MB, slowest ${Math.round(slowestMs)} ms`;
    const what = `${files} files from seed ${seed}: ${read} read, ${refused} refused, ${sizes}`;
    assert.ok(files > 200 && read > files / 100 && refused > files / 100, what);
    assert.ok(memoryMb < MEMORY_MAX_MB, what);
    console.log(`${format}: ${what}`);
  });
