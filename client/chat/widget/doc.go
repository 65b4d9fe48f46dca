// Package widget has the parts that the terminal client's screen is made of:
// an editor, a form, a scrollable overlay, an input history, styles, and a
// builder for single rows. It knows nothing about chat or the server.
//
// The widgets of charm.land/bubbles/v2 (2.2.1) were tried in their place and
// don't fit:
//
//   - They measure text by grapheme cluster. A terminal without mode 2027
//     counts code points. Rows with emoji sequences or Devanagari then get a
//     wrong width, and the rest of the screen shifts. text.Ruler measures as
//     the terminal says it does.
//   - textarea and textinput move and delete by code point. Backspace takes the
//     accent off its letter and splits joined emoji. Bidirectional controls in
//     pasted text reach the terminal, and limits count code points, not bytes.
//     textinput places the terminal's cursor, where an input method opens its
//     window, by code point as well. With textarea as a mere buffer the editor
//     is 20 lines shorter, but it drops what is beyond 10,000 lines, and moving
//     up one row in a draft of 32 KiB takes more than 100 times as long.
//   - list shows pages; ours scrolls. It took 15 lines more than our own list.
//   - viewport keeps an offset from the top and wants every row rendered. Ours
//     stays at the same message while rows are added above and below, and
//     renders only visible rows. In the overlay it saved five lines.
package widget
