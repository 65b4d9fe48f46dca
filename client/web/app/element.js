// Creating and changing elements. Everything that users write is inserted into
// the page by these functions, always as text: they don't parse HTML.

const asProperty = new Set(['value', 'disabled', 'hidden', 'checked', 'textContent']);

/** Creates an element. name may include classes: h('p.note.quiet'). Properties that
 * start with "on" are event listeners. Properties that are undefined, null or false are
 * omitted. Children are elements or text; empty ones are omitted. */
export function h(name, properties, ...children) {
  const [tag, ...classes] = name.split('.');
  const element = document.createElement(tag);
  if (tag === 'button') element.type = 'button'; // the default would submit a form
  if (classes.length) element.className = classes.join(' ');
  set(element, properties);
  element.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false && child !== ''));
  return element;
}

/** Sets properties and attributes like h. Null and false remove an attribute. */
export function set(element, properties) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (asProperty.has(name)) element[name] = value;
    else if (value === undefined || value === null || value === false) element.removeAttribute(name);
    else element.setAttribute(name, value === true ? '' : value);
  }
  return element;
}

/** Makes items the children of parent, in this order. Moves only those that differ. */
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

/** Returns a function that schedules run for the next animation frame, once however
 * often it is called. In a hidden tab, run waits until the tab is visible. */
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
