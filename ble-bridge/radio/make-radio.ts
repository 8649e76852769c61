/** Creates the radio of a source of readings. */
import type { Config } from '../../service/config/config.ts';
import type { Logger } from '../../service/log/log.ts';
import { replayFiles } from '../../recordings/replay-files.ts';
import type { AdapterSearch } from './noble/adapter-search.ts';
import { NobleRadio } from './noble/noble-radio.ts';
import type { Radio } from './radio.ts';
import { makeReplay } from './virtual/make-replay.ts';
import { SimulatedSource } from './virtual/simulated-source.ts';
import { SoftRadio } from './virtual/soft-radio.ts';

/** Creates, but does not start, a radio. Throws HrError `recording_unreadable`. */
export async function makeRadio(
  source: Radio['kind'],
  { config, log, canTake, search }: { config: Config; log: Logger; canTake: () => boolean; search?: AdapterSearch },
): Promise<Radio> {
  switch (source) {
    case 'noble':
      return new NobleRadio(config, log, search);
    case 'simulated':
      return new SoftRadio(new SimulatedSource({ straps: config.SIMULATED_STRAPS }));
    case 'replay':
      return new SoftRadio(await makeReplay(replayFiles(config.REPLAY_FILE ?? ''), { config, log, canTake }));
  }
}
