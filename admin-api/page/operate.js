/** What the operator does with the box: scan, back up, acknowledge damage; and with a strap: enter who wears it, forget it. */
import { find, messageOf, numberText, setText } from './format.js';
import { onAcknowledge } from './banners.js';
import { ask, isOperator, onOperator } from './operator.js';

/** @param {string} words */
function say(words) {
  setText(find('#operate-answer'), words);
}

/**
 * Runs a command, and says what came of it.
 * @template T
 * @param {() => Promise<T>} command
 * @param {(result: T) => string} words
 */
async function run(command, words) {
  say('…');
  try {
    say(words(await command()));
  } catch (error) {
    say(messageOf(error));
  }
}

/** @param {{ file: string, bytes: number }} result */
const backupText = ({ file, bytes }) =>
  `The queue was copied to ${file} (${numberText(bytes)} bytes), on the box of the forwarder.`;

find('#scan').addEventListener('click', () => {
  void run(
    () => ask('POST', '/scan'),
    ({ scanning }) => (scanning ? 'Scanning for straps.' : 'The scan was not started: see Health.'),
  );
});
find('#backup').addEventListener('click', () => {
  void run(() => ask('POST', '/backup'), backupText);
});
onAcknowledge(() => {
  void run(
    () => ask('POST', '/damage/acknowledge'),
    ({ acknowledged }) => (acknowledged ? 'The damage was acknowledged.' : 'There is no damage to acknowledge.'),
  );
});
onOperator((is) => {
  find('#operate-actions').hidden = !is;
  say('');
});

/**
 * Makes the controls of a strap's card work.
 * @param {HTMLElement} card
 * @param {string} device
 */
export function operateStrap(card, device) {
  const form = /** @type {HTMLFormElement} */ (find('.rename', card));
  const answer = find('.strap-answer', card);
  const person = /** @type {HTMLInputElement} */ (find('[name=person]', form));
  const highest = /** @type {HTMLInputElement} */ (find('[name=max]', form));
  const path = `/devices/${encodeURIComponent(device)}`;
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const name = person.value.trim();
    const body = { name: name === '' ? null : name, max_heart_rate: highest.value === '' ? null : Number(highest.value) };
    ask('POST', `${path}/rename`, body).then(
      () => {
        delete form.dataset.changed;
        setText(answer, 'Saved.');
      },
      (error) => setText(answer, messageOf(error)),
    );
  });
  // What is being typed is not overwritten by what is known.
  form.addEventListener('input', () => (form.dataset.changed = 'yes'));
  find('.forget', card).addEventListener('click', () => {
    if (!confirm(`Forget ${device}? Its name, who wears it, and its entities in Home Assistant are removed. Readings stay.`))
      return;
    ask('DELETE', path).catch((error) => setText(answer, messageOf(error)));
  });
}

/**
 * Shows in the controls of a card what is known.
 * @param {HTMLElement} card
 * @param {{ person: string | null, max_heart_rate: number | null, publisher: string | null }} known
 */
export function showOperated(card, known) {
  const isOwn = known.publisher === null;
  const form = find('.rename', card);
  form.hidden = !isOwn || !isOperator();
  find('.forget', card).hidden = !isOwn || !isOperator();
  find('.log-in', card).hidden = !isOwn || isOperator();
  if (form.dataset.changed !== undefined) return;
  /** @type {HTMLInputElement} */ (find('[name=person]', form)).value = known.person ?? '';
  /** @type {HTMLInputElement} */ (find('[name=max]', form)).value = String(known.max_heart_rate ?? '');
}
