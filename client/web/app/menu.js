// A button with a drop-down menu.

import { h, set } from './element.js';
import { icon, iconButton } from './icons.js';

/** Creates a button that opens a menu. items() is called when the menu opens. It returns an
 * array of entries { label, icon, run, danger }, and strings, which are shown as notes. */
export function menuButton(label, iconName, items) {
  let list = null;
  const button = iconButton(label, iconName, () => (list ? close() : open()), { 'aria-haspopup': 'menu', 'aria-expanded': 'false' });
  const holder = h('div.menu-holder', {}, button);

  const outside = ({ target }) => holder.contains(target) || close(false);

  function open() {
    list = h('div.menu', { role: 'menu', 'aria-label': label, onkeydown: keys },
      ...items().map((item) => (typeof item === 'string'
        ? h('p.note', { role: 'presentation' }, item)
        : h('button', { role: 'menuitem', tabindex: -1, class: item.danger && 'danger', onclick: () => {
            close();
            item.run();
          } }, icon(item.icon), item.label))));
    holder.append(list);
    set(button, { 'aria-expanded': 'true' });
    document.addEventListener('pointerdown', outside, true);
    list.querySelector('button').focus();
  }

  function close(focus = true) {
    list?.remove();
    list = null;
    set(button, { 'aria-expanded': 'false' });
    document.removeEventListener('pointerdown', outside, true);
    if (focus) button.focus();
  }

  function keys(event) {
    const all = [...list.querySelectorAll('button')];
    const at = all.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1 + all.length, Home: 0, End: all.length - 1 }[event.key];
    if (to !== undefined) all[to % all.length].focus();
    else if (event.key === 'Escape') close();
    else if (event.key === 'Tab') return close(false);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  return holder;
}
