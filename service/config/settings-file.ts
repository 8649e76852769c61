/**
 * Reads a file of settings as systemd reads the EnvironmentFile= of the unit (systemd.exec(5)), so that a command of an installed box has
 * the settings of the unit: lines NAME=VALUE, comments from # or ; at the start of a line, values in single or double quotes, a backslash
 * at the end of a line continues it. Unlike a shell's, an unquoted value is taken as it is, with its spaces and # signs.
 */

/** Double quotes: a backslash escapes these. */
const unescaped = (text: string): string => text.replaceAll(/\\(["\\`$])/g, '$1').replaceAll('\\\n', '');

function valueOf(text: string): string {
  const value = text.trim();
  const quoted = /^"((?:[^"\\]|\\[^])*)"$|^'([^']*)'$/.exec(value);
  if (quoted !== null) return quoted[1] === undefined ? (quoted[2] ?? '') : unescaped(quoted[1]);
  return value.replaceAll(/\\([^])/g, '$1');
}

/** The variables that a file sets, by name; lines that set none are ignored, as systemd does. */
export function parseSettingsFile(text: string): Record<string, string> {
  const values: Record<string, string> = {};
  // A quoted value may go on over lines.
  for (const [, name = '', value = ''] of text
    .replaceAll(/^[ \t]*[#;].*$/gm, '')
    .replaceAll('\\\n', '')
    .matchAll(/^[ \t]*([A-Za-z_][A-Za-z0-9_]*)=("(?:[^"\\]|\\[^])*"|'[^']*'|[^\n]*)[ \t]*$/gm))
    values[name] = valueOf(value);
  return values;
}
