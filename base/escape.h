/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_BASE_ESCAPE_H
#define MEMATTACH_BASE_ESCAPE_H

#include "base/types.h"

/*
 * Strings of a target (names of functions, files, modules, its command line)
 * are hostile: they may hold terminal escapes, newlines, bytes that are no
 * UTF-8 and characters that reorder a line. Every writer takes them apart with
 * these and decides what to show instead.
 */

/*
 * The UTF-8 character at s, of which n > 0 bytes may be read, into *character.
 * Returns its length in bytes, 1 to 4; 0 if these bytes are no UTF-8 (RFC 3629:
 * overlong forms, surrogates and values above U+10FFFF are none).
 */
size_t utf8_decode(const char *s, size_t n, u32 *character);

/*
 * Should this character never reach a reader as it is? Control characters (C0,
 * DEL, C1), line and paragraph separators, the marks that change the direction
 * of text (Unicode Standard Annex 9; "Trojan Source"), and invisible ones.
 */
bool utf8_is_hostile(u32 character);

#define ESCAPE_MAX 12

/*
 * What to show on a terminal for the beginning of s (n > 0 bytes left) into
 * out, NUL-terminated: one character as it is, or a visible escape such as \x1b
 * (a byte) or \u202e (a character). *columns is the width of that. Returns how
 * many bytes of s it stands for.
 */
size_t escape_terminal(const char *s, size_t n, char out[ESCAPE_MAX], u32 *columns);

#endif
