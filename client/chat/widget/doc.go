// Package widget has the building blocks of the full-screen terminal client: a
// text editor, a form, a scrollable overlay, an input history, styles, and a
// builder for single rows. It knows nothing about chat or the server.
//
// We tried the widgets of charm.land/bubbles/v2 (2.2.1) instead. They don't
// fit:
//
//   - They measure text by grapheme cluster, but a terminal without mode 2027
//     counts code points. Rows with emoji sequences or Devanagari get a wrong
//     width, and the rest of the screen shifts. text.Ruler measures text the
//     way the terminal does.
//   - textarea and textinput move and delete by code point: Backspace takes the
//     accent off a letter and splits joined emoji. Bidirectional controls in
//     pasted text reach the terminal. Limits count code points, not bytes.
//     textinput also places the terminal's cursor by code point, so an input
//     method opens its window in the wrong place. With textarea as a text
//     buffer only, our editor would be 20 lines shorter. But textarea drops
//     text after 10,000 lines, and moving up one row in a 32 KiB draft takes
//     more than 100 times as long.
//   - list has pages; ours scrolls. Using it took 15 lines more than our own
//     list.
//   - viewport keeps an offset from the top and needs every row rendered. Our
//     transcript stays at the same message while rows are added above and
//     below, and renders only the visible rows. For the overlay, viewport saved
//     only five lines.
package widget
