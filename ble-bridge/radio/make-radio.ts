/** Creates the radio of a source of readings. */
import type { Config } from '../../service/config/config.ts';
import type { Logger } from '../../service/log/log.ts';
import type { AdapterSearch } from './noble/adapter-search.ts';
import { NobleRadio } from './noble/noble-radio.ts';
import type { Radio } from './radio.ts';
import { readRecording } from './virtual/recording.ts';
import { ReplaySource } from './virtual/replay-source.ts';
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
    case 'replay': {
      const recording = await readRecording(config.REPLAY_FILE ?? '');
      const onEnd = (): void => log.info({ event: 'replay_ended', recording: recording.name }, 'end of the recording');
      return new SoftRadio(new ReplaySource({ recording, speed: config.REPLAY_SPEED, loop: config.REPLAY_LOOP, canTake, onEnd }));
    }
  }
}
