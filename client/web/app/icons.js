// Line icons on a 24 by 24 grid.

import { h } from './element.js';

const paths = {
  add: 'M12 5v14M5 12h14',
  back: 'M15 5l-7 7 7 7',
  close: 'M6 6l12 12M18 6L6 18',
  more: 'M5 11.5a.5.5 0 1 0 0 1 .5.5 0 0 0 0-1zM12 11.5a.5.5 0 1 0 0 1 .5.5 0 0 0 0-1zM19 11.5a.5.5 0 1 0 0 1 .5.5 0 0 0 0-1z',
  search: 'M11 18a7 7 0 1 0 0-14 7 7 0 0 0 0 14zM20 20l-4-4',
  send: 'M5 12h13M12 5l7 7-7 7',
  down: 'M12 5v14M5 12l7 7 7-7',
  info: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 11v5M12 8h.01',
  person: 'M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM5 20c.6-3.6 3.5-5.5 7-5.5s6.4 1.9 7 5.5',
  people: 'M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 19c.4-3.2 3-5 6.5-5s6.1 1.8 6.5 5M16 4.5a3.5 3.5 0 0 1 0 6.5M18 14.4c2 .7 3.2 2.3 3.5 4.6',
  enter: 'M14 4h4a2 2 0 0 1 2 2v12a2 2 0 0 1-2 2h-4M4 12h10M10 8l4 4-4 4',
  leave: 'M10 4H6a2 2 0 0 0-2 2v12a2 2 0 0 0 2 2h4M10 12h10M16 8l4 4-4 4',
  bell: 'M6 16v-5a6 6 0 0 1 12 0v5l1.5 2h-15zM10 21h4',
  key: 'M8 18a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM11 11l8-7M15.5 7.5l2.5 2.5',
  copy: 'M9 9h10v11H9zM5 15V4h10',
  bin: 'M4 7h16M9 7V4h6v3M6.5 7l1 13h9l1-13',
  block: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM6 6l12 12',
  eye: 'M2.5 12c2-4 5.5-6.5 9.5-6.5s7.5 2.5 9.5 6.5c-2 4-5.5 6.5-9.5 6.5S4.5 16 2.5 12zM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6z',
  queued: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7v5l3 2',
  sent: 'M5 12.5l4.5 4.5L19 7.5',
  read: 'M2 12.5L6.5 17 16 7.5M11.5 16l1 1L22 7.5',
  failed: 'M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 7v6M12 16.5h.01',
};
paths.sending = paths.queued;

const svg = 'http://www.w3.org/2000/svg';

/** Creates an icon. It is hidden from screen readers: the element around it needs a label. */
export function icon(name) {
  const element = document.createElementNS(svg, 'svg');
  const path = document.createElementNS(svg, 'path');
  element.setAttribute('viewBox', '0 0 24 24');
  element.setAttribute('aria-hidden', 'true');
  element.setAttribute('class', 'icon');
  path.setAttribute('d', paths[name]);
  element.append(path);
  return element;
}

/** Creates a round button with an icon. label is its accessible name and tooltip. */
export function iconButton(label, name, onclick, properties) {
  return h('button.icon-button', { 'aria-label': label, title: label, onclick, ...properties }, icon(name));
}
