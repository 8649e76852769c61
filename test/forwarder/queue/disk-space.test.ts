import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { bytesOnDisk, Reserve } from '../../../forwarder/queue/disk-space.ts';
import { isDiskFull } from '../../../service/storage/disk-full.ts';
import { tempDir } from '../../support/temp-dir.ts';

test('a reserve that the disk does not remove, and a disk that does not report its space, end no thread', (t) => {
  const file = path.join(tempDir(t), 'queue.db');
  // A folder cannot be removed as a file.
  mkdirSync(`${file}.reserve`);
  const reserve = new Reserve(file);
  reserve.release();
  reserve.fill();
  const gone = path.join(file, 'is', 'no', 'folder');
  assert.equal(isDiskFull(Object.assign(new Error('read'), { code: 'SQLITE_IOERR_READ' }), gone), false);
  assert.equal(bytesOnDisk(`${file}.reserve/\0`), 0);
});
