/** 100,000 mutated recordings of every format. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FORMATS, fuzzInProcess } from './support/fuzz.ts';

const MEMORY_MAX_MB = 200;

for (const format of FORMATS)
  test(`${format}: 100,000 mutated files are coded errors or recordings that keep the law of replay, in bounded memory`, async () => {
    const { files, read, refused, memoryMb, slowestMs } = await fuzzInProcess(format, { files: 100_000, ms: Infinity });
    const what = `${files} files: ${read} read, ${refused} refused, ${Math.round(memoryMb)} MB, slowest ${Math.round(slowestMs)} ms`;
    assert.equal(files, 100_000);
    assert.ok(memoryMb < MEMORY_MAX_MB, what);
    console.log(`${format}: ${what}`);
  });
