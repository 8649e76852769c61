import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { strToU8, zipSync } from 'fflate';
import { activity } from './support/fit-writer.ts';
import { rates, read, refusal } from './support/read.ts';

const csv = `time,hr\n${Array.from({ length: 500 }, (_, index) => `${index},${60 + (index % 50)}\n`).join('')}`;

describe('gzip', () => {
  test('of any kind of file', async () => {
    assert.equal((await read(gzipSync(csv), 'a/ride.csv.gz')).rows.length, 500);
    const fit = await read(gzipSync(activity(10).close()), 'ride.fit.gz');
    assert.equal(fit.rows.length, 10);
    assert.equal(fit.name, 'ride');
  });

  test('what precedes a cut is read, with a warning; damage is refused', async () => {
    const packed = gzipSync(csv);
    const cut = await read(packed.subarray(0, Math.floor(packed.length / 2)));
    assert.ok(cut.rows.length > 20 && cut.rows.length < 500, `${cut.rows.length} rows`);
    assert.deepEqual(rates(cut).slice(0, 20), rates(await read(csv)).slice(0, 20));
    assert.match(cut.notes.join('; '), /gzip file is cut off/);
    const damaged = Buffer.from(packed);
    damaged[packed.length - 6] = (damaged[packed.length - 6] ?? 0) ^ 0xff;
    assert.match(await refusal(damaged), /gzip: the file is damaged/);
  });

  test('a file that unpacks to more than 64 MiB is refused', async () => {
    assert.match(await refusal(gzipSync(Buffer.alloc(65 * 1024 * 1024))), /unpacked it is larger than 64 MiB/);
  });
});

describe('zip', () => {
  test('of one file, beside what computers add', async () => {
    const packed = zipSync({
      '__MACOSX/._ride.csv': strToU8('x'),
      '.DS_Store': strToU8('x'),
      'folder/ride.csv': strToU8(csv),
    });
    const recording = await read(packed, 'export.zip');
    assert.equal(recording.rows.length, 500);
    assert.equal(recording.name, 'export');
  });

  test('of several files, of none, of Office, encrypted, damaged or cut: one line that says so', async () => {
    assert.match(
      await refusal(zipSync({ 'a.csv': strToU8(csv), 'b.csv': strToU8(csv) })),
      /several files \(a.csv, b.csv\); unpack it/,
    );
    assert.match(await refusal(zipSync({})), /empty/);
    assert.match(
      await refusal(zipSync({ '[Content_Types].xml': strToU8('x'), 'xl/workbook.xml': strToU8('x') })),
      /Excel.*as CSV/,
    );
    const packed = Buffer.from(zipSync({ 'a.csv': strToU8(csv) }));
    assert.match(await refusal(packed.subarray(0, packed.length - 30)), /cut off or damaged/);
    const damaged = Buffer.from(zipSync({ 'a.csv': strToU8(csv) }, { level: 0 }));
    damaged[200] = (damaged[200] ?? 0) ^ 1;
    assert.match(await refusal(damaged), /wrong checksum/);
    assert.match(await refusal(zipSync({ 'a.zip': packed })), /archive in an archive/);
  });
});
