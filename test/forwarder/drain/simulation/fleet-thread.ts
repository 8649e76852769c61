/** Runs one fleet in a worker thread: the test runner follows every promise of its own thread, which takes several times as long. */
import { parentPort, workerData } from 'node:worker_threads';
import { runFleet, type FleetOptions } from './fleet.ts';

parentPort?.postMessage(await runFleet(workerData as FleetOptions));
