// Elements. Whatever people write gets into the page as text, by these
// functions alone: nothing here reads HTML.

const asProperty = new Set(['value', 'disabled', 'hidden', 'checked', 'textContent']);

/** Makes an element. name may bring classes: h('p.note.quiet'). Properties that
 * begin with "on" are listeners, undefined, null and false are left out.
 * Children are elements or text; empty ones are left out. */
export function h(name, properties, ...children) {
  const [tag, ...classes] = name.split('.');
  const element = document.createElement(tag);
  if (tag === 'button') element.type = 'button'; // or it would send the form around it
  if (classes.length) element.className = classes.join(' ');
  set(element, properties);
  element.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false && child !== ''));
  return element;
}

/** Sets properties and attributes as h does; null and false take one away. */
export function set(element, properties) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (asProperty.has(name)) element[name] = value;
    else if (value === undefined || value === null || value === false) element.removeAttribute(name);
    else element.setAttribute(name, value === true ? '' : value);
  }
  return element;
}

/** Makes items the children of parent, in their order, and touches only what differs. */
export function arrange(parent, items) {
  let at = parent.firstChild;
  for (const item of items) {
    if (item === at) at = at.nextSibling;
    else parent.insertBefore(item, at);
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

/** Makes of run a function that asks for it: however often it is asked, run is
 * called once, before the next frame. In a hidden tab that waits, as nobody looks. */
export function perFrame(run) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      run();
    });
  };
}
