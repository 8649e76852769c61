/** Words and numbers as a person reads them. */
export function ageText(seconds) {
  if (!Number.isFinite(seconds)) return 'never';
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

export const secondsSince = (text) => (text === null || text === undefined ? Number.POSITIVE_INFINITY : (Date.now() - Date.parse(text)) / 1000);

export const numberText = (value) => (Number.isFinite(value) ? value.toLocaleString('en-US') : '–');

/** An element with attributes and children; text is never taken for HTML. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElementNS(tag === 'svg' || tag === 'path' ? 'http://www.w3.org/2000/svg' : 'http://www.w3.org/1999/xhtml', tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined && value !== false) made.setAttribute(name, value === true ? '' : value);
  made.append(...children.filter((child) => child !== undefined && child !== null && child !== ''));
  return made;
}
