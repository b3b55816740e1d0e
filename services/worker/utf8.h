#pragma once
/* Texts of other programs' files and words, made fit for the wire and for JSON. */
#include <stddef.h>

/* Every byte that is no part of well-formed UTF-8 becomes '?'; of the control characters only tab
 * and line feed stay. */
void utf8_clean(char *text);

/* Length of text without what was cut off in the middle of a character: at most size_max bytes. */
size_t utf8_cut(const char *text, size_t size_max);
