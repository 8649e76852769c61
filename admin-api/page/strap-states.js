/** Made from service/errors/strap-catalogue.ts by `npm run docs`: what the states of a strap mean, and what to do. */

/** @typedef {{ words: string, kind: 'good' | 'warn' | 'bad', meaning: string, advice: string }} StateText */

/** @type {Partial<Record<string, StateText>>} */
export const STATES = {
  discovered: {
    words: 'found',
    kind: 'warn',
    meaning: 'advertises, not connected yet',
    advice:
      'Wait some seconds. If it stays, the limit of the adapter or BLE_MAX_STRAPS may be reached (see the ' + "bridge's status).",
  },
  connecting: {
    words: 'connecting',
    kind: 'warn',
    meaning: 'a connect is in progress; one strap at a time: known straps first, at most 10 s for them, 3 to 5 s ' + 'for others',
    advice: 'Wait. If it keeps returning to lost, bring the strap nearer, and disconnect it from other devices.',
  },
  connected: {
    words: 'connected',
    kind: 'warn',
    meaning: 'its services are being discovered, and its name if it does not advertise it; at most 10 s without an ' + 'answer',
    advice:
      'Wait. If it keeps returning to lost, take the strap off for a minute: a Polar H10 whose last central ' +
      'died stops answering here.',
  },
  subscribing: {
    words: 'subscribing',
    kind: 'warn',
    meaning: 'notifications are requested; none has arrived yet',
    advice: 'Put the strap on, moisten the electrodes.',
  },
  streaming: { words: 'streaming', kind: 'good', meaning: 'receiving heart rates', advice: 'Nothing.' },
  no_pulse: {
    words: 'no pulse',
    kind: 'warn',
    meaning: 'the strap sends heart rate 0; nothing is published, the link stays open',
    advice: 'Moisten the electrodes, tighten the strap. Garmin and Wahoo send an occasional 0 during a workout.',
  },
  no_contact: {
    words: 'no skin contact',
    kind: 'warn',
    meaning: 'receiving heart rates, but the strap reports no skin contact; they are published with ' + 'sensor_contact: false',
    advice: 'Moisten the electrodes, tighten the strap.',
  },
  silent: {
    words: 'silent',
    kind: 'bad',
    meaning:
      'connected, but no valid notification for BLE_SILENCE_MS (10 s); the bridge subscribes again, then ' + 'connects again',
    advice: 'Put the strap on; change its battery.',
  },
  unreadable: {
    words: 'unreadable values',
    kind: 'bad',
    meaning: 'connected, but its values hold no heart rate; the link is kept',
    advice: "Update the strap's firmware, or restart it. The bytes are in the log (notification_malformed).",
  },
  taken: {
    words: 'taken by another device',
    kind: 'warn',
    meaning: 'it advertises that it accepts no connection; connected as soon as that changes',
    advice: 'Disconnect it from the phone or watch that holds it, or enable a second connection (Polar H10).',
  },
  refused: {
    words: 'refused by the strap',
    kind: 'bad',
    meaning:
      'the strap refused a request that is needed; the reason has its ATT error, or that pairing failed. ' +
      'Tried again after 5 s, then less often, up to once a minute; the state stays meanwhile',
    advice: 'Disconnect other devices; enable broadcasting or pairing on the watch; restart the strap.',
  },
  no_heart_rate_service: {
    words: 'no heart rate service',
    kind: 'bad',
    meaning:
      'it has no heart rate measurement (0x2A37); tried again after 5 s, then less often, up to once a ' +
      'minute; the state stays meanwhile',
    advice: 'Enable broadcasting on the watch (Garmin, below); an old Garmin may broadcast on ANT+ only.',
  },
  lost: {
    words: 'lost',
    kind: 'bad',
    meaning:
      'the link ended or could not be established, or it has not advertised for a minute; connected at its ' +
      'next advertisement',
    advice: 'Bring it near, put it on. A strap should disconnect after 10-20 s without contact: that is not a ' + 'fault.',
  },
};

/**
 * What to do about the reason of a state.
 * @type {Partial<Record<string, string>>}
 */
export const REASON_HINTS = {
  att_error:
    'Disconnect the strap from other devices and put it on. If it stays, remove its pairing in the app of ' +
    'its maker, or restart it.',
  pairing_failed: 'Enable pairing, or open heart rate broadcasting, on the strap or watch, and confirm there if it ' + 'asks.',
  values_unreadable: "Update the strap's firmware, or restart it. The bytes are in the log (notification_malformed).",
  too_many_packets:
    "Restart the strap. If it is nobody's, somebody near the box may be attacking it: name it in " +
    'BLE_DENY, or your own straps in BLE_ALLOW.',
  not_connectable:
    'Disconnect it from the phone or watch that holds it, or enable a second connection (Polar H10: in ' + 'Polar Flow).',
};
