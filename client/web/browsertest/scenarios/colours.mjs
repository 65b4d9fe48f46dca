// In the dark it is dark, in the light it is light, and in both all text can be read:
// as much contrast as WCAG AA asks for (4.5, and 3 for large text).

import { check, until } from '../person.mjs';

/** In the page: the texts whose contrast is too low, and how bright the page is. */
function faint() {
  const canvas = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a)];
  const luminance = (colour) => {
    const [r, g, b] = colour.map((v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), matchMedia('(prefers-color-scheme: dark)').matches ? [0, 0, 0] : [255, 255, 255]);
  };
  const low = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const element = node.parentElement;
    const box = element.getBoundingClientRect();
    if (!node.data.trim() || !box.width || element.closest('.hidden, .skip') || !element.checkVisibility({ visibilityProperty: true })) continue;
    const style = getComputedStyle(element);
    const under = behind(element);
    const [a, b] = [luminance(over(rgba(style.color), under)), luminance(under)].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (contrast < (large ? 3 : 4.5)) low.push(`${contrast.toFixed(2)}: "${node.data.trim().slice(0, 30)}" in ${element.tagName}.${element.className}`);
  }
  return { low, bright: luminance(behind(document.body)) };
}

export default async function colours({ person }) {
  const bob = await person('bob');
  await bob.register();
  for (const colorScheme of ['light', 'dark']) {
    const alice = await person(`alice ${colorScheme}`, { colorScheme });
    const readable = async (where) => {
      const { bright } = await alice.page.evaluate(faint);
      check(colorScheme === 'dark' ? bright < 0.1 : bright > 0.8, `${where} is ${colorScheme}: ${bright}`);
      // What is on its way to another colour isn't looked at until it is there.
      let low;
      await until('', async () => !(low = (await alice.page.evaluate(faint)).low).length).catch(() => {
        throw new Error(`${where} can't be read in the ${colorScheme}:\n${low.join('\n')}`);
      });
    };
    await readable('the way in');
    await alice.register();
    await readable('the empty list');
    await alice.befriend('bob');
    await alice.write('look at https://example.com/');
    await bob.enter(alice.name);
    await bob.write('it shines');
    await alice.reads('look at https://example.com/', 'it shines');
    await readable('a conversation');
    await alice.button('Details').click();
    await readable('the details');
  }
}
