/** Run as a process by other-process.ts. Arguments: `lock` or `read`, and the database file. */
import { openDatabase } from '../../../../service/storage/sqlite.ts';

const [holds, file = ''] = process.argv.slice(2);
const database = openDatabase(file);
database.exec(holds === 'lock' ? 'BEGIN IMMEDIATE' : 'BEGIN');
database.prepare('SELECT count(*) FROM rows').get();
console.log('ready');
setInterval(() => database.inTransaction, 1000);
